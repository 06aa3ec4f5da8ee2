//! The VMM's file itself.

use iced_x86::{CpuidFeature, Decoder, DecoderOptions, Instruction};
use xmas_elf::ElfFile;
use xmas_elf::sections::SHF_EXECINSTR;

use crate::harness::{trials, vmm};

trials![
    no_instruction_of_the_vmm_touches_the_guests_floating_point_state,
    the_vmm_is_built_once_for_one_policy,
];

fn no_instruction_of_the_vmm_touches_the_guests_floating_point_state() {
    let file = std::fs::read(build().0).expect("the VMM");
    let elf = ElfFile::new(&file).expect("an ELF file");
    let mut decoded = 0;
    for section in elf
        .section_iter()
        .filter(|section| section.flags() & SHF_EXECINSTR != 0)
    {
        let code = section.raw_data(&elf);
        let mut decoder = Decoder::with_ip(64, code, section.address(), DecoderOptions::NONE);
        for instruction in &mut decoder {
            decoded += 1;
            assert!(
                !touches_floating_point(&instruction),
                "{:#x}: {instruction}",
                instruction.ip()
            );
        }
    }
    assert!(
        decoded > 1000,
        "only {decoded} instructions of code were found"
    );
}

/// SSE and AVX by their registers, since a fence is an SSE instruction too;
/// x87 and MMX, whose registers are often implied, by what CPUID calls them.
fn touches_floating_point(instruction: &Instruction) -> bool {
    let vector = |operand| instruction.op_register(operand).is_vector_register();
    (0..instruction.op_count()).any(vector)
        || instruction.cpuid_features().iter().any(|feature| {
            use CpuidFeature::{FPU, FPU287, FPU387, MMX};
            matches!(*feature, FPU | FPU287 | FPU387 | MMX)
        })
}

fn the_vmm_is_built_once_for_one_policy() {
    let (first, _) = build();
    let (second, talk) = build();
    assert_eq!((second.as_str(), talk.as_str()), (first.as_str(), ""));
}

/// The path of the VMM with the workspace's own policy, and what the tool
/// said while it built it.
fn build() -> (String, String) {
    let finished = vmm().arg("build").output().expect("the program starts");
    let talk = String::from_utf8_lossy(&finished.stderr).into_owned();
    assert!(finished.status.success(), "{talk}");
    (
        String::from_utf8_lossy(&finished.stdout)
            .trim_end()
            .to_string(),
        talk,
    )
}
