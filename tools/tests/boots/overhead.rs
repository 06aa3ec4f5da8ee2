//! What it costs to keep something on every exit: by the VMM's own code, and by what a guest takes.

use iced_x86::code_asm::{eax, edi};
use iced_x86::{Decoder, DecoderOptions, FlowControl, Instruction, Mnemonic, OpKind};
use xmas_elf::ElfFile;
use xmas_elf::sections::SHF_EXECINSTR;

use crate::binary::{build, function};
use crate::harness::{Boot, trials};
use crate::tiny_guest::{power_off, tiny_guest};

trials![
    on_no_road_through_the_world_switch_does_an_exit_cost_more_than_it_may,
    where_nothing_is_kept_the_world_switch_moves_registers_and_no_more,
    a_guest_that_exits_pays_what_the_code_says,
];

/// The most instructions an exit may cost to count and sum, to keep its times as well, and to put it
/// into the ring.
const MOST_TO_COUNT: usize = 12;
const MOST_TO_TIME: usize = 12;
const MOST_TO_TRACE: usize = 40;

/// The instructions of a function of the VMM.
fn code(elf: &ElfFile<'_>, name: &str) -> Vec<Instruction> {
    let place = function(elf, name);
    let section = elf
        .section_iter()
        .filter(|section| section.flags() & SHF_EXECINSTR != 0)
        .find(|section| {
            (section.address()..section.address() + section.size()).contains(&place.start)
        })
        .expect("a section of code");
    let from = (place.start - section.address()) as usize;
    let bytes = &section.raw_data(elf)[from..][..(place.end - place.start) as usize];
    Decoder::with_ip(64, bytes, place.start, DecoderOptions::NONE)
        .into_iter()
        .collect()
}

/// Where the loop around VMRUN begins: where a conditional jump leads to from behind it.
fn head(code: &[Instruction]) -> u64 {
    let is_vmrun = |one: &&Instruction| one.mnemonic() == Mnemonic::Vmrun;
    let vmrun = code.iter().find(is_vmrun).expect("VMRUN").ip();
    code.iter()
        .filter(|one| one.flow_control() == FlowControl::ConditionalBranch && one.ip() > vmrun)
        .map(Instruction::near_branch_target)
        .find(|target| *target <= vmrun)
        .expect("a loop")
}

/// Instructions on the longest road from `at` back to `head`, or to where a jump goes by a table;
/// `None`: every road leaves the function.
fn longest(code: &[Instruction], at: u64, head: u64) -> Option<usize> {
    let one = code.iter().find(|one| one.ip() == at)?;
    let taken = || match one.near_branch_target() {
        target if target == head => Some(0),
        target => longest(code, target, head),
    };
    let through = || longest(code, one.next_ip(), head);
    let rest = match one.flow_control() {
        FlowControl::Next | FlowControl::Call => through(),
        FlowControl::ConditionalBranch => through().max(taken()),
        FlowControl::UnconditionalBranch => taken(),
        FlowControl::IndirectBranch => Some(0),
        _ => None,
    };
    rest.map(|rest| 1 + rest)
}

/// Instructions of a round trip's longest road: a world switch, and as far as to the handler.
fn round_trip(elf: &ElfFile<'_>, switch: &str, dispatch: &str) -> usize {
    let switch = code(elf, switch);
    let head = head(&switch);
    let dispatch = code(elf, dispatch);
    let begins = dispatch[0].ip();
    let roads = [
        longest(&switch, head, head),
        longest(&dispatch, begins, begins),
    ];
    roads.map(|road| road.expect("a road")).iter().sum()
}

fn on_no_road_through_the_world_switch_does_an_exit_cost_more_than_it_may() {
    let file = std::fs::read(build(&[]).0).expect("the VMM");
    let elf = ElfFile::new(&file).expect("an ELF file");
    // With and without clean bits.
    for clean in [0, 1] {
        let dispatched = |switch: &str, dispatch: &str| {
            round_trip(&elf, &format!("svm_run{switch}_{clean}"), dispatch)
        };
        let off = dispatched("", "dispatch::<false>");
        let kept = |switch: &str| dispatched(switch, "dispatch::<true>");
        let counted = kept("_counted") - off;
        assert!((1..=MOST_TO_COUNT).contains(&counted), "{counted} to count");
        let timed = kept("_timed") - kept("_counted");
        assert!((1..=MOST_TO_TIME).contains(&timed), "{timed} to time");
        for (traced, not) in [("_traced", "_counted"), ("_traced_in_detail", "_detailed")] {
            let traced = kept(traced) - kept(not);
            assert!((1..=MOST_TO_TRACE).contains(&traced), "{traced} to trace");
        }
    }
}

fn where_nothing_is_kept_the_world_switch_moves_registers_and_no_more() {
    const GPRS: usize = 14;
    let file = std::fs::read(build(&[]).0).expect("the VMM");
    let elf = ElfFile::new(&file).expect("an ELF file");
    let switch = code(&elf, "svm_run_0");
    let head = head(&switch);
    let of_loop: Vec<_> = switch
        .iter()
        .skip_while(|one| one.ip() < head)
        .take_while(|one| one.mnemonic() != Mnemonic::Pop)
        .map(Instruction::mnemonic)
        .collect();
    let loads = [Mnemonic::Mov; GPRS];
    // The argument stands before the call; behind it, whether to go on, and with what.
    let stores = [Mnemonic::Mov; GPRS + 1];
    let end = [Mnemonic::Call, Mnemonic::Test, Mnemonic::Mov, Mnemonic::Je];
    let expected = [&loads[..], &[Mnemonic::Vmrun], &stores, &end].concat();
    assert_eq!(of_loop, expected);
    // What dispatch writes: that no TLB entry is to be flushed, and where it counts, under what.
    let writes = |dispatch: &str| {
        let writes = |one: &&Instruction| {
            one.op0_kind() == OpKind::Memory && one.mnemonic() == Mnemonic::Mov
        };
        code(&elf, dispatch).iter().filter(writes).count()
    };
    assert_eq!(
        [writes("dispatch::<false>"), writes("dispatch::<true>")],
        [1, 2]
    );
}

/// CPUID, again and again, with instructions counted.
fn a_guest_that_exits_pays_what_the_code_says() {
    const ROUNDS: u64 = 10_000;
    let kernel = tiny_guest(|a| {
        let mut again = a.create_label();
        a.mov(edi, ROUNDS as u32)?;
        a.set_label(&mut again)?;
        a.xor(eax, eax)?;
        a.cpuid()?;
        a.dec(edi)?;
        a.jnz(again)?;
        power_off(a)
    });
    let policy = |rest: &str| {
        format!(
            "[set.base]\ncpuid = \"emulate\"\n\n[[vm]]\nname = \"demo\"\nmemory = \"16 MiB\"\n\
             intercepts = \"base\"\ncounters = \"off\"\n{rest}\n"
        )
    };
    let cycles = |rest: &str, counters: &str| {
        let outcome = Boot::policy(&policy(rest))
            .kernel(&kernel)
            .args(["--icount", "--counters", counters])
            .run()
            .ends_with(0);
        let vm = &outcome.report["vms"][0];
        let cycles = ["guest_cycles", "vmm_cycles"].map(|part| vm[part].as_u64());
        cycles
            .map(|part| part.expect("a number"))
            .iter()
            .sum::<u64>()
    };
    // What a round takes more, to the nearest instruction: a start costs some, too.
    let more = |than: u64, cycles: u64| ((cycles - than + ROUNDS / 2) / ROUNDS) as usize;
    let off = cycles("", "off");
    let counted = cycles("", "totals");
    let timed = cycles("", "times");
    // The ring has room for all, so that nothing is sent meanwhile.
    let traced = cycles("trace = 16384", "off");
    let more = [
        more(off, counted),
        more(counted, timed),
        more(counted, traced),
    ];
    assert!((1..=MOST_TO_COUNT).contains(&more[0]), "{more:?}");
    assert!((1..=MOST_TO_TIME).contains(&more[1]), "{more:?}");
    assert!((1..=MOST_TO_TRACE).contains(&more[2]), "{more:?}");
}
