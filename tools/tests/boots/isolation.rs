//! No guest reaches past its VM: a witness in a second VM, and the VMM's own drill, see nothing of
//! what it tries.

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

/// Random page tables under a first entry that keeps the guest's code where it is, random values
/// for the registers that paging is made of, random accesses: always the same.
fn nonsense() -> Vec<u8> {
    use crate::modes::toolbox::{
        PAE, PG, PSE, START, WP, clear_cr0, code, kernel, poke, set_cr0, set_efer, set_tables,
        try_to,
    };
    const ROUNDS: i32 = 200;
    const ACCESSES: u32 = 32;
    /// The two-level directory, PAE's pointers, and their directory.
    const ROOTS: u32 = 0x5_0000;
    let [two_levels, pointers, directory] = [0, 1, 2].map(|number| ROOTS + number * 0x1000);
    /// Where tables are looked for, full of entries that lead from here to beyond memory.
    const TABLES: u32 = 8 * MIB;
    // EDI is the state, EAX the number.
    let random = |a: &mut CodeAssembler| {
        a.imul_3(edi, edi, 1_664_525)?;
        a.add(edi, 1_013_904_223)?;
        a.mov(eax, edi)?;
        a.rol(eax, 13)
    };
    let entry = |a: &mut CodeAssembler| {
        random(a)?;
        a.and(eax, 0x017f_ffff)?;
        a.or(eax, TABLES)
    };
    kernel(vec![code(32, START, START, |a| {
        let mut round = a.create_label();
        a.mov(edi, 0x5eed)?;
        for (first, end) in [(ROOTS, ROOTS + 0x3000), (TABLES, TABLES + MIB)] {
            for_each(a, first, end, 8, |a| {
                entry(a)?;
                a.mov(dword_ptr(esi), eax)?;
                a.mov(dword_ptr(esi + 4), 0)
            })?;
        }
        for (place, safe) in [
            (two_levels, 0x83),
            (pointers, directory | 1),
            (pointers + 8, TABLES | 1),
            (pointers + 16, (TABLES + 0x1000) | 1),
            (pointers + 24, (TABLES + 0x2000) | 1),
            (directory, 0x83),
            (directory + 8, 0x20_0083),
        ] {
            poke(a, place, safe)?;
        }
        a.mov(dword_ptr(0x6000), ROUNDS)?;
        a.set_label(&mut round)?;
        for (cr4_value, in_use) in [
            (PSE | 0x80, two_levels), // PGE
            (PSE, two_levels),
            (PAE, pointers),
        ] {
            // Anything, while it does not count.
            random(a)?;
            try_to(a, |a| a.mov(cr3, eax))?;
            random(a)?;
            a.and(eax, 0x6ff)?;
            try_to(a, |a| a.mov(cr4, eax))?;
            random(a)?;
            a.xor(edx, edx)?;
            a.mov(ecx, 0xc000_0080u32)?;
            try_to(a, |a| a.wrmsr())?;
            random(a)?;
            a.or(eax, 1)?;
            // QUIRK: QEMU 7.2 lets a guest set NW without CD, and VMRUN then refuses it.
            a.and(eax, 0x1fff_ffff)?;
            try_to(a, |a| a.mov(cr0, eax))?;
            clear_cr0(a, 0x6001_000e)?;
            set_efer(a, 0)?;
            set_tables(a, cr4_value, in_use)?;
            set_cr0(a, PG)?;
            for_each(a, 0, ACCESSES, 1, |a| {
                random(a)?;
                a.or(eax, 4 * MIB)?;
                try_to(a, |a| a.invlpg(ptr(eax)))?;
                try_to(a, |a| a.mov(ebx, dword_ptr(eax)))?;
                a.mov(ecx, eax)?;
                entry(a)?;
                try_to(a, |a| a.mov(dword_ptr(ecx), eax))
            })?;
            a.mov(eax, cr0)?;
            a.xor(eax, WP)?;
            a.mov(cr0, eax)?;
            clear_cr0(a, PG)?;
            // Another entry, for a table that may be in use.
            entry(a)?;
            a.mov(ecx, eax)?;
            a.and(ecx, 0x000f_fff8)?;
            random(a)?;
            a.or(eax, TABLES)?;
            a.mov(dword_ptr(ecx + TABLES), eax)?;
        }
        a.dec(dword_ptr(0x6000))?;
        a.jnz(round)?;
        power_off(a)
    })])
}

/// Boots the two, with the VMM's drill on; the witness looks once the wild guest has ended.
fn beside_a_witness(npt: bool, wild: &[u8]) -> Outcome {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let other = folder.path().join("wild");
    std::fs::write(&other, wild).expect("a kernel");
    Boot::policy(&POLICY.replace("NPT", if npt { "true" } else { "false" }))
        .kernel(&witness())
        .arg("--guest")
        .arg(format!("wild={}", other.display()))
        .args(["--expect", "wild: power-off", "--type", "x"])
        .args(["--", "-append", "tollgate canary"])
        .run()
}

fn harms_nobody(npt: bool, wild: &[u8]) {
    beside_a_witness(npt, wild)
        .ends_with(0)
        .shows("witness: power-off")
        .shows("code and constants: as they were");
}

fn random_tables_and_registers_harm_nobody_under_nested_paging() {
    harms_nobody(true, &nonsense());
}

fn random_tables_and_registers_harm_nobody_under_shadow_paging() {
    harms_nobody(false, &nonsense());
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
