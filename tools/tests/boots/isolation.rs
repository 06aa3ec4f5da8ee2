//! No guest reaches past its VM: a witness in a second VM, and the VMM's own drill, see nothing of
//! what it tries.

mod nonsense;
mod wide;

use iced_x86::IcedError;
use iced_x86::code_asm::*;

use crate::harness::{Boot, Outcome, trials};
use crate::tiny_guest::{power_off, tiny_guest};

trials![
    a_guest_that_writes_every_address_reaches_nothing_under_nested_paging,
    a_guest_that_writes_every_address_reaches_nothing_under_shadow_paging,
    entries_of_64_bits_lead_nowhere_else_under_nested_paging,
    entries_of_64_bits_lead_nowhere_else_under_shadow_paging,
    random_tables_and_registers_harm_nobody_under_nested_paging,
    random_tables_and_registers_harm_nobody_under_shadow_paging,
    random_tables_of_long_mode_harm_nobody_under_nested_paging,
    random_tables_of_long_mode_harm_nobody_under_shadow_paging,
    long_mode_that_is_asked_for_and_not_entered_harms_nobody,
    paging_turned_on_over_nonsense_harms_nobody_under_nested_paging,
    paging_turned_on_over_nonsense_harms_nobody_under_shadow_paging,
];

/// A witness, which has the keyboard, and a guest that gets #GP for what is not its memory.
const POLICY: &str = r#"
[target]
machine = "qemu-tcg"

[set.base]
hlt      = "wait"
shutdown = "stop"
npf      = { action = "inject", vector = "gp", error = 0 }

[[vm]]
name       = "witness"
image      = "guest"
memory     = "8 MiB"
intercepts = "base"
npt        = NPT
[[vm.io]]
ports      = "0xf4"
action     = "exit"

[[vm]]
name       = "wild"
image      = "guest"
memory     = "16 MiB"
intercepts = "base"
npt        = NPT
# WILD
[[vm.io]]
ports      = "0xf4"
action     = "exit"
"#;

const MIB: u32 = 1 << 20;
/// The wild guest's memory.
const MEMORY: u32 = 16 * MIB;
/// More than all the memory of the machine: up to here every page is tried.
const EVERY_PAGE: u32 = 128 * MIB;

/// Ends the VM as one that crashed.
fn complain(a: &mut CodeAssembler) -> Result<(), IcedError> {
    a.mov(al, 1)?;
    a.out(0xf4, al)
}

/// Fills its memory from 2 MiB on, and when a key comes, looks whether it still is as it was.
fn witness() -> Vec<u8> {
    const MARK: u32 = 0x5afe_5afe;
    const WORDS: u32 = 6 * MIB / 4;
    tiny_guest(|a| {
        let (mut wait, mut harmed) = (a.create_label(), a.create_label());
        a.mov(eax, MARK)?;
        a.mov(edi, 2 * MIB)?;
        a.mov(ecx, WORDS)?;
        a.rep().stosd()?;
        a.mov(dx, 0x3fd)?; // line status of the UART
        a.set_label(&mut wait)?;
        a.pause()?;
        a.in_(al, dx)?;
        a.test(al, 1)?;
        a.jz(wait)?;
        a.mov(eax, MARK)?;
        a.mov(edi, 2 * MIB)?;
        a.mov(ecx, WORDS)?;
        a.repe().scasd()?;
        a.jne(harmed)?;
        power_off(a)?;
        a.set_label(&mut harmed)?;
        complain(a)
    })
}

const STACK: u32 = 0x7000;

/// Where every exception leads: EBX counts it, and [`try_to`] ends. To be written first; the
/// stack is then the guest's own, and its gates lead here.
fn gates(a: &mut CodeAssembler) -> Result<(), IcedError> {
    const IDT: u32 = 0x8000;
    const GDT: u32 = 0x9000;
    const POINTER: u32 = 0x9100;
    const CODE: u32 = 8;
    let (mut start, mut gate) = (a.create_label(), a.create_label());
    a.mov(esp, STACK)?;
    a.call(start)?;
    a.inc(ebx)?;
    a.mov(esp, STACK - 4)?;
    a.ret()?;
    a.set_label(&mut start)?;
    a.pop(eax)?;
    let words = [0, 0, 0xffff, 0x00cf_9b00];
    for (place, word) in (GDT..).step_by(4).zip(words) {
        a.mov(dword_ptr(place), word)?;
    }
    a.mov(word_ptr(POINTER), 15)?;
    a.mov(dword_ptr(POINTER + 2), GDT)?;
    a.lgdt(ptr(POINTER))?;
    a.mov(edx, eax)?;
    a.and(eax, 0xffff)?;
    a.or(eax, CODE << 16)?;
    a.mov(dx, 0x8e00)?;
    a.mov(edi, IDT)?;
    a.mov(ecx, 32)?;
    a.set_label(&mut gate)?;
    a.mov(dword_ptr(edi), eax)?;
    a.mov(dword_ptr(edi + 4), edx)?;
    a.add(edi, 8)?;
    a.loop_(gate)?;
    a.mov(word_ptr(POINTER), 255)?;
    a.mov(dword_ptr(POINTER + 2), IDT)?;
    a.lidt(ptr(POINTER))?;
    a.xor(ebx, ebx)
}

/// Does `touch`, which may fault; either way, what comes next is next.
fn try_to(
    a: &mut CodeAssembler,
    touch: impl FnOnce(&mut CodeAssembler) -> Result<(), IcedError>,
) -> Result<(), IcedError> {
    let (mut body, mut next) = (a.create_label(), a.create_label());
    a.call(body)?;
    a.jmp(next)?;
    a.set_label(&mut body)?;
    touch(a)?;
    a.add(esp, 4)?;
    a.set_label(&mut next)?;
    a.zero_bytes()
}

/// For each ESI from `first` to before `end` (0: the end of the 4 GiB) in these steps.
fn for_each(
    a: &mut CodeAssembler,
    first: u32,
    end: u32,
    step: u32,
    body: impl FnOnce(&mut CodeAssembler) -> Result<(), IcedError>,
) -> Result<(), IcedError> {
    let mut again = a.create_label();
    a.mov(esi, first)?;
    a.set_label(&mut again)?;
    body(a)?;
    a.add(esi, step)?;
    a.cmp(esi, end)?;
    a.jne(again)
}

/// Writes to every page that is not its own, unpaged, through large pages beyond 4 GiB too, and
/// through small ones; takes its tables from there; and counts the faults, which all of it is.
fn wild() -> Vec<u8> {
    const DIRECTORY: u32 = 0x1_0000;
    const TABLE: u32 = 0x1_1000;
    const WINDOW: u32 = 4 * MIB;
    const LARGE: u32 = 0x83;
    const SMALL: u32 = 3;
    const MARK: u32 = 0x0bad_0bad;
    let poke = |a: &mut CodeAssembler, at: u32| {
        try_to(a, |a| {
            a.invlpg(ptr(at))?;
            a.mov(dword_ptr(at), MARK)
        })
    };
    let mut faults = 0;
    let every_page = (EVERY_PAGE - MEMORY) / 4096;
    tiny_guest(|a| {
        let mut wrong = a.create_label();
        gates(a)?;

        let write = |a: &mut CodeAssembler| try_to(a, |a| a.mov(dword_ptr(esi), MARK));
        for_each(a, MEMORY, EVERY_PAGE, 4096, write)?;
        for_each(a, EVERY_PAGE, 0, 2 * MIB, write)?;
        faults += every_page + (0u32.wrapping_sub(EVERY_PAGE)) / (2 * MIB);

        a.mov(dword_ptr(DIRECTORY), LARGE)?;
        a.mov(eax, DIRECTORY)?;
        a.mov(cr3, eax)?;
        a.mov(eax, cr4)?;
        a.or(eax, 0x10)?; // PSE
        a.mov(cr4, eax)?;
        a.mov(eax, cr0)?;
        a.or(eax, 0x8001_0000u32)?; // PG, WP
        a.mov(cr0, eax)?;

        for high in [0, 1, 0x80, 0xff] {
            let first = if high == 0 { MEMORY } else { 0 };
            for_each(a, first, 0, 4 * MIB, |a| {
                a.mov(eax, esi)?;
                a.or(eax, LARGE | high << 13)?;
                a.mov(dword_ptr(DIRECTORY + 4), eax)?;
                poke(a, WINDOW)?;
                poke(a, WINDOW + 0x3f_f000)
            })?;
            faults +=
                2 * (0u32.wrapping_sub(first) / (4 * MIB) + if first == 0 { 1024 } else { 0 });
        }

        a.mov(dword_ptr(DIRECTORY + 4), TABLE | SMALL)?;
        for_each(a, MEMORY, EVERY_PAGE, 4096, |a| {
            a.mov(eax, esi)?;
            a.or(eax, SMALL)?;
            a.mov(dword_ptr(TABLE), eax)?;
            poke(a, WINDOW)
        })?;
        for_each(a, MEMORY, EVERY_PAGE, 4096, |a| {
            a.mov(eax, esi)?;
            a.or(eax, SMALL)?;
            a.mov(dword_ptr(DIRECTORY + 4), eax)?;
            poke(a, WINDOW)
        })?;
        faults += 2 * every_page;

        a.cmp(ebx, faults)?;
        a.jne(wrong)?;
        power_off(a)?;
        a.set_label(&mut wrong)?;
        complain(a)
    })
}

/// Boots the two, with the VMM's drill on; the witness looks once the wild guest has said `last`.
/// The wild one's VM has this line.
fn beside_a_witness(npt: bool, wild: &[u8], line: &str, last: &str) -> Outcome {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let other = folder.path().join("wild");
    std::fs::write(&other, wild).expect("a kernel");
    let policy = POLICY
        .replace("NPT", if npt { "true" } else { "false" })
        .replace("# WILD", line);
    Boot::policy(&policy)
        .kernel(&witness())
        .arg("--guest")
        .arg(format!("wild={}", other.display()))
        .args(["--expect", last, "--type", "x"])
        .args(["--", "-append", "tollgate canary"])
        .run()
        .shows("witness: power-off")
        .shows("code and constants: as they were")
}

fn harms_nobody(npt: bool, wild: &[u8]) {
    beside_a_witness(npt, wild, "", "wild: power-off").ends_with(0);
}

/// The guest dies of what it does, and is started again.
fn harms_nobody_in_any_life(npt: bool, wild: &[u8]) {
    const LIVES: u32 = 60;
    let restarts = LIVES - 1;
    let line = format!("restart = \"always\"\nrestart_limit = {restarts}");
    let last = format!("wild: starts again, {restarts} of {restarts} times");
    let outcome = beside_a_witness(npt, wild, &line, &last);
    assert!(matches!(outcome.status, Some(0 | 1)), "{outcome:#?}");
    assert_eq!(outcome.report["vms"][1]["lives"], LIVES, "{outcome:#?}");
}

fn random_tables_and_registers_harm_nobody_under_nested_paging() {
    harms_nobody(true, &nonsense::narrow());
}

fn random_tables_and_registers_harm_nobody_under_shadow_paging() {
    harms_nobody(false, &nonsense::narrow());
}

fn a_guest_that_writes_every_address_reaches_nothing_under_nested_paging() {
    harms_nobody(true, &wild());
}

fn a_guest_that_writes_every_address_reaches_nothing_under_shadow_paging() {
    harms_nobody(false, &wild());
}

fn entries_of_64_bits_lead_nowhere_else_under_nested_paging() {
    harms_nobody(true, &wide::kernel());
}

fn entries_of_64_bits_lead_nowhere_else_under_shadow_paging() {
    harms_nobody(false, &wide::kernel());
}

fn random_tables_of_long_mode_harm_nobody_under_nested_paging() {
    harms_nobody(true, &nonsense::wide());
}

fn random_tables_of_long_mode_harm_nobody_under_shadow_paging() {
    harms_nobody(false, &nonsense::wide());
}

fn paging_turned_on_over_nonsense_harms_nobody_under_nested_paging() {
    harms_nobody_in_any_life(true, &nonsense::mortal());
}

fn paging_turned_on_over_nonsense_harms_nobody_under_shadow_paging() {
    harms_nobody_in_any_life(false, &nonsense::mortal());
}

/// QUIRK: QEMU 7.2 leaves the host's paging off after an exit from there, and nested paging with it.
fn long_mode_that_is_asked_for_and_not_entered_harms_nobody() {
    use crate::modes::toolbox::{LME, START, code, kernel, set_efer};
    let wild = kernel(vec![code(32, START, START, |a| {
        set_efer(a, LME)?;
        for _ in 0..2 {
            a.in_(al, 0x21)?;
            a.mov(eax, 0x0bad_0badu32)?;
            a.mov(edi, MIB)?;
            a.mov(ecx, (MEMORY - MIB) / 4)?;
            a.rep().stosd()?;
        }
        power_off(a)
    })]);
    for npt in [true, false] {
        harms_nobody(npt, &wild);
    }
}
