//! The VMM's file itself.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use iced_x86::{CpuidFeature, Decoder, DecoderOptions, Instruction};
use serde_json::Value;
use tools::build::cargo::{Kind, Recipe};
use tools::setup::toolchain::Toolchain;
use tools::workspace::Workspace;
use xmas_elf::ElfFile;
use xmas_elf::sections::SHF_EXECINSTR;

use crate::harness::{trials, vmm};
use crate::in_a_vm::POLICY;

trials![
    no_instruction_of_the_vmm_touches_the_guests_floating_point_state,
    the_vmm_is_built_once_for_one_policy,
    a_policy_and_back_again_gives_the_first_vmm_without_a_build,
    another_value_compiles_the_policys_crate_and_nothing_else,
    the_vmms_code_takes_at_most_512_kib,
    no_function_of_the_vmm_takes_more_than_a_tenth_of_its_stack,
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

/// Two policies nobody has written before.
fn two_policies(folder: &Path) -> [PathBuf; 2] {
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    let now = now.expect("a clock").as_nanos();
    ["one", "other"].map(|name| {
        let folder = folder.join(name);
        std::fs::create_dir(&folder).expect("a folder");
        let file = folder.join("vm.toml");
        let cmdline = format!("{name} {now}");
        std::fs::write(&file, POLICY.replace("CMDLINE", &cmdline)).expect("a policy");
        file
    })
}

fn a_policy_and_back_again_gives_the_first_vmm_without_a_build() {
    // The guest kernel is none of the policy's business.
    build(&[]);
    let folder = tempfile::tempdir().expect("a folder");
    let policies = two_policies(folder.path());
    let [one, other] = policies.each_ref().map(|file| {
        let (vmm, talk) = build(&["--config".as_ref(), file.as_ref()]);
        assert_eq!(talk.matches("building").count(), 1, "{talk}");
        assert!(talk.contains("building the VMM"), "{talk}");
        vmm
    });
    assert_ne!(one, other);
    let bytes = |vmm: &str| std::fs::read(vmm).expect("a VMM");
    assert_ne!(bytes(&one), bytes(&other));

    let again = build(&["--config".as_ref(), policies[0].as_ref()]);
    assert_eq!(again, (one.clone(), String::new()));
    // The text is what counts, and the file's name, which messages show, but not its folder.
    std::fs::copy(&policies[1], &policies[0]).expect("an edit");
    let edited = build(&["--config".as_ref(), policies[0].as_ref()]);
    assert_eq!(edited, (other, String::new()));
}

fn another_value_compiles_the_policys_crate_and_nothing_else() {
    build(&[]);
    let workspace = Workspace::find();
    let toolchain = Toolchain::find().expect("a toolchain");
    let folder = tempfile::tempdir().expect("a folder");
    let _alone = workspace.lock("build").expect("the lock");
    // Of what cargo had to compile: the packages' names.
    let compiled = |policy: &Path| -> BTreeSet<String> {
        let guest = crate::harness::guest_kernel();
        let target = workspace.bare_metal_target();
        let cargo = Recipe::vmm(policy, guest, Kind::Usual)
            .command(workspace.root(), &target, &toolchain)
            .arg("--message-format=json")
            .output()
            .expect("cargo starts");
        assert!(cargo.status.success(), "{cargo:?}");
        let output = String::from_utf8_lossy(&cargo.stdout);
        output
            .lines()
            .filter_map(|line| serde_json::from_str(line).ok())
            .filter(|message: &Value| {
                message["reason"] == "compiler-artifact" && message["fresh"] == false
            })
            .filter_map(|message| Some(message["target"]["name"].as_str()?.to_owned()))
            .collect()
    };
    let [one, other] = two_policies(folder.path());
    compiled(&one);
    let policy_alone = BTreeSet::from(["boot".to_owned(), "tollgate".to_owned()]);
    assert_eq!(compiled(&other), policy_alone);
    assert_eq!(compiled(&other), BTreeSet::new(), "nothing has changed");
    let longer = std::fs::read_to_string(&other).expect("a policy") + "# a remark\n";
    std::fs::write(&other, longer).expect("an edit");
    assert_eq!(compiled(&other), policy_alone, "in the same file");
}

fn the_vmms_code_takes_at_most_512_kib() {
    let policy = Workspace::find()
        .root()
        .join("policies/count-everything.toml");
    let (file, _) = build(&["--config".as_ref(), policy.as_os_str()]);
    let file = std::fs::read(file).expect("the VMM");
    let elf = ElfFile::new(&file).expect("an ELF file");
    let code: u64 = elf
        .section_iter()
        .filter(|section| section.flags() & SHF_EXECINSTR != 0)
        .map(|section| section.size())
        .sum();
    assert!((4 << 10..=512 << 10).contains(&code), "{code} bytes");
}

/// What a function has on the stack it may have by value from others, copy by copy; the stack is of
/// 512 KiB, and what is on it when a VM starts again is not one function.
fn no_function_of_the_vmm_takes_more_than_a_tenth_of_its_stack() {
    const MOST: u64 = 48 << 10;
    /// A life is too large to be carried about: it has its place before it is made.
    const MOST_TO_START_A_VM: u64 = 24 << 10;
    let file = std::fs::read(build(&[]).0).expect("the VMM");
    let elf = ElfFile::new(&file).expect("an ELF file");
    let names = elf.find_section_by_name(".symbols").expect("the names");
    let text = String::from_utf8_lossy(names.raw_data(&elf));
    let rooms: Vec<(u64, &str)> = text
        .trim_end_matches('\0')
        .lines()
        .filter_map(|line| {
            let (room, name) = line.split_once(' ')?.1.split_once(' ')?;
            Some((u64::from_str_radix(room, 16).ok()?, name))
        })
        .collect();
    assert!(rooms.len() > 100, "only {} are known", rooms.len());
    for (room, name) in rooms {
        let starts_a_vm = name.contains("::hypervisor::") || name.contains("::vm::create");
        let most = if starts_a_vm {
            MOST_TO_START_A_VM
        } else {
            MOST
        };
        assert!(room <= most, "{name}: {room} bytes");
    }
}

/// The address of a function of this name, in any module, in the VMM whose file this is.
pub fn symbol(vmm: &str, name: &str) -> u32 {
    let file = std::fs::read(vmm).expect("the VMM");
    let elf = ElfFile::new(&file).expect("an ELF file");
    u32::try_from(function(&elf, name).start).expect("an address below 4 GiB")
}

/// Where a function of this name, in any module, is in memory.
pub fn function(elf: &ElfFile<'_>, name: &str) -> Range<u64> {
    use xmas_elf::sections::SectionData;
    use xmas_elf::symbol_table::{Entry, Type};
    let path = format!("::{name}");
    let is_wanted = |symbol: &xmas_elf::symbol_table::Entry64| {
        let found = symbol.get_name(elf).unwrap_or_default();
        let found = format!("{:#}", rustc_demangle::demangle(found));
        symbol.get_type() == Ok(Type::Func) && (found == name || found.ends_with(&path))
    };
    let tables = elf
        .section_iter()
        .filter_map(|section| section.get_data(elf).ok());
    tables
        .filter_map(|data| match data {
            SectionData::SymbolTable64(symbols) => symbols.iter().find(|symbol| is_wanted(symbol)),
            _ => None,
        })
        .map(|symbol| symbol.value()..symbol.value() + symbol.size())
        .next()
        .unwrap_or_else(|| panic!("the VMM has no function {name}"))
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
