//! The VMM's file itself.

use std::ffi::OsStr;

use iced_x86::{CpuidFeature, Decoder, DecoderOptions, Instruction};
use xmas_elf::ElfFile;
use xmas_elf::sections::SHF_EXECINSTR;

use crate::harness::{trials, vmm};

trials![
    no_instruction_of_the_vmm_touches_the_guests_floating_point_state,
    the_vmm_is_built_once_for_one_policy,
];

fn no_instruction_of_the_vmm_touches_the_guests_floating_point_state() {
    let file = std::fs::read(build(&[]).0).expect("the VMM");
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
    let (first, _) = build(&[]);
    let (second, talk) = build(&[]);
    assert_eq!((second.as_str(), talk.as_str()), (first.as_str(), ""));
}

/// The address of a function of this name, in any module, in the VMM whose file this is.
pub fn symbol(vmm: &str, name: &str) -> u32 {
    use xmas_elf::sections::SectionData;
    use xmas_elf::symbol_table::{Entry, Type};
    let file = std::fs::read(vmm).expect("the VMM");
    let elf = ElfFile::new(&file).expect("an ELF file");
    let mangled = format!("{}{name}", name.len());
    let is_wanted = |symbol: &xmas_elf::symbol_table::Entry64| {
        let found = symbol.get_name(&elf).unwrap_or_default();
        symbol.get_type() == Ok(Type::Func) && (found == name || found.ends_with(&mangled))
    };
    let tables = elf
        .section_iter()
        .filter_map(|section| section.get_data(&elf).ok());
    let address = tables
        .filter_map(|data| match data {
            SectionData::SymbolTable64(symbols) => symbols.iter().find(|symbol| is_wanted(symbol)),
            _ => None,
        })
        .map(Entry::value)
        .next()
        .unwrap_or_else(|| panic!("the VMM has no function {name}"));
    u32::try_from(address).expect("an address below 4 GiB")
}

/// The path of the VMM that `vmm build` makes with these arguments, and what the tool said
/// while it built it. Without arguments it has the workspace's own policy.
pub fn build(arguments: &[&OsStr]) -> (String, String) {
    let finished = vmm()
        .arg("build")
        .args(arguments)
        .output()
        .expect("the program starts");
    let talk = String::from_utf8_lossy(&finished.stderr).into_owned();
    assert!(finished.status.success(), "{talk}");
    (
        String::from_utf8_lossy(&finished.stdout)
            .trim_end()
            .to_string(),
        talk,
    )
}
