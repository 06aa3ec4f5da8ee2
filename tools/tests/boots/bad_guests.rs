//! Guests that are no kernels, or that go where they must not: the VMM says
//! so and lives on to report it.

use iced_x86::IcedError;
use iced_x86::code_asm::{CodeAssembler, al, dword_ptr, eax};

use crate::harness::{Boot, Outcome, POLICY, trials};
use crate::tiny_guest::{power_off, tiny_guest};

trials![
    a_file_that_is_no_kernel_ends_with_1,
    a_truncated_kernel_ends_with_1,
    a_jump_to_unmapped_memory_ends_with_1,
    a_write_beyond_memory_ends_with_1,
    a_denied_port_reads_as_all_ones_and_the_guest_goes_on,
    an_instruction_of_svm_is_undefined_in_the_vm,
];

/// Boots a kernel of these instructions in the VM.
fn boot(write: impl FnOnce(&mut CodeAssembler) -> Result<(), IcedError>) -> Outcome {
    Boot::policy(POLICY).kernel(&tiny_guest(write)).run()
}

/// Fails unless the VMM itself came to its end and says the VM ended badly.
fn ends_badly(outcome: Outcome) {
    let outcome = outcome.ends_with(1);
    let end = &outcome.report["vms"][0]["end"];
    assert_eq!(end["good"], false, "{end}");
    assert_ne!(end["reason"], "", "{end}");
}

fn a_file_that_is_no_kernel_ends_with_1() {
    ends_badly(Boot::policy(POLICY).kernel(b"This is no kernel.\n").run());
}

fn a_truncated_kernel_ends_with_1() {
    let whole = std::fs::read(crate::harness::guest_kernel()).expect("the guest kernel");
    ends_badly(Boot::policy(POLICY).kernel(&whole[..whole.len() / 8]).run());
}

fn a_jump_to_unmapped_memory_ends_with_1() {
    ends_badly(boot(|assembler| {
        assembler.mov(eax, 0xd000_0000u32)?;
        assembler.jmp(eax)
    }));
}

fn a_write_beyond_memory_ends_with_1() {
    ends_badly(boot(|assembler| assembler.mov(dword_ptr(0x7000_0000), 1)));
}

fn a_denied_port_reads_as_all_ones_and_the_guest_goes_on() {
    boot(|assembler| {
        let mut wrong = assembler.create_label();
        assembler.in_(al, 0xed)?;
        assembler.cmp(al, 0xff)?;
        assembler.jne(wrong)?;
        power_off(assembler)?;
        assembler.set_label(&mut wrong)?;
        assembler.ud2()
    })
    .ends_with(0);
}

fn an_instruction_of_svm_is_undefined_in_the_vm() {
    // Without an IDT the #UD becomes a triple fault.
    ends_badly(boot(|assembler| assembler.vmrun()));
}
