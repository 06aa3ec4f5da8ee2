//! One vocabulary: what the documents name, the code has, and what the code names, the documents
//! explain.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use intercepts::vmcb::{self, registers};
use intercepts::{Bits, EXITS, FEATURES, MSRS, Register, info};
use tools::reference::decode;
use tools::reference::model::Reference;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn read(file: impl AsRef<Path>) -> String {
    fs::read_to_string(root().join(file)).expect("a document")
}

/// The names of the code: fields and exits, the bits of both, MSRs and CPUID features of SVM.
fn vocabulary() -> BTreeSet<&'static str> {
    let of = |rows: &'static [Bits]| rows.iter().map(|row| row.name);
    let fields = vmcb::fields().filter(|field| !field.is_reserved());
    let in_fields = vmcb::fields().flat_map(|field| field.named_bits().map(|row| row.name));
    let exits = EXITS.iter().flat_map(|exit| [exit.name, exit.apm]);
    let in_infos = EXITS
        .iter()
        .flat_map(|exit| info::info_bits(exit.code))
        .flat_map(of);
    let msrs = MSRS.iter().filter(|msr| msr.is_of_svm());
    let in_msrs = msrs.clone().flat_map(|msr| of(msr.bits));
    let features = FEATURES.iter().filter(|feature| {
        feature.leaf == 0x8000_000a && matches!(feature.register, Register::Ecx | Register::Edx)
    });
    fields
        .map(|field| field.name)
        .chain(in_fields)
        .chain(exits)
        .chain(in_infos)
        .chain(msrs.map(|msr| msr.name))
        .chain(in_msrs)
        .chain(features.map(|feature| feature.name))
        // The two numbers of leaf 8000_000Ah, which are no features.
        .chain(["SvmRev", "NASID"])
        .collect()
}

#[test]
fn the_reference_names_what_the_code_has_and_nothing_else() {
    let document = read("docs/vmcb.md");
    let (_, tables) = document.split_once("\n## ").expect("a chapter");
    let documented: BTreeSet<&str> = tables
        .lines()
        .flat_map(|line| line.split('`').skip(1).step_by(2))
        .collect();
    let vocabulary = vocabulary();
    let lost: Vec<_> = vocabulary.difference(&documented).collect();
    let strange: Vec<_> = documented.difference(&vocabulary).collect();
    assert!(
        lost.is_empty() && strange.is_empty(),
        "not documented: {lost:?}; not in the code: {strange:?}"
    );
}

/// Whether a word of prose is the name of something: `V_INTR_MASKING`, `guest_asid`, EXITINFO1.
fn is_a_name(word: &str) -> bool {
    word.contains('_') || word.starts_with("EXIT") || word.starts_with("EVENT")
}

#[test]
fn every_name_in_the_prose_is_one_of_the_code() {
    let reference = Reference::new(Vec::new());
    let mut known: BTreeSet<String> = vocabulary().into_iter().map(str::to_lowercase).collect();
    known.extend(
        decode::subjects(&reference)
            .into_iter()
            .flat_map(|subject| subject.names),
    );
    // Keys of vm.toml, words of Rust, of QEMU and of batch systems, and the handler that the README
    // writes as an example.
    let schema = read("vm.schema.json");
    let is_key = |word: &str| schema.contains(&format!("\"{word}\""));
    let foreign = [
        "no_std",
        "coarse_tsc",
        "update_docs",
        "cpu_reset",
        "guest_errors",
        "slurm_array_task_id",
        "slurm_array_task_count",
        "slurm_cpus_per_task",
        "job_completion_index",
    ];
    known.extend(foreign.map(str::to_owned));

    let mut documents = vec![root().join("README.md"), root().join("CONTRIBUTING.md")];
    for folder in ["docs", "docs/book/src"] {
        for entry in fs::read_dir(root().join(folder)).expect("a folder of documents") {
            documents.push(entry.expect("a document").path());
        }
    }
    documents.retain(|file| file.extension().is_some_and(|ending| ending == "md"));
    // Those are made of the code.
    documents.retain(|file| !file.ends_with("vmcb.md") || file.ends_with("src/vmcb.md"));
    documents.retain(|file| !file.ends_with("rules.md"));
    assert!(documents.len() > 16, "{documents:?}");
    let mut all = Vec::new();
    for file in documents {
        let text = fs::read_to_string(&file).expect("a document");
        let strangers: Vec<&str> = text
            .split(|letter: char| !letter.is_ascii_alphanumeric() && letter != '_')
            .filter(|word| word.starts_with(|letter: char| letter.is_ascii_alphabetic()))
            .filter(|word| is_a_name(word) && !known.contains(&word.to_lowercase()))
            .filter(|word| !is_key(word))
            .collect();
        if !strangers.is_empty() {
            all.push(format!("{}: {strangers:?}", file.display()));
        }
    }
    assert!(all.is_empty(), "{all:#?}");
}

/// The formats of registers that sources name constants after: `CR0_PG`, `RFLAGS_IF`.
const REGISTERS: [(&str, &[Bits]); 6] = [
    ("CR0_", registers::cr0::BITS),
    ("CR4_", registers::cr4::BITS),
    ("EFER_", registers::efer::BITS),
    ("RFLAGS_", registers::rflags::BITS),
    ("DR6_", registers::dr6::BITS),
    ("DR7_", registers::dr7::BITS),
];

/// Every Rust source in and below a folder, but for tests.
fn sources(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).expect("a folder of sources") {
        let path = entry.expect("an entry").path();
        let is_test = path.file_stem().is_some_and(|name| name == "tests");
        if is_test {
            continue;
        }
        if path.is_dir() {
            sources(&path, found);
        } else if path.extension().is_some_and(|ending| ending == "rs") {
            found.push(path);
        }
    }
}

/// A bit of a register, or the number of an MSR, is written down once, in the vocabulary: a
/// constant of the VMM that has its name takes it from there.
#[test]
fn the_code_takes_bits_and_numbers_from_the_vocabulary() {
    let mut files = Vec::new();
    for folder in ["vmm-core/src", "boot/src", "vmm-config/src"] {
        sources(&root().join(folder), &mut files);
    }
    let mut typed_again = Vec::new();
    let mut taken = 0;
    for file in files {
        let text = fs::read_to_string(&file).expect("a source");
        for line in text.lines() {
            let Some((_, constant)) = line.split_once("const ") else {
                continue;
            };
            let (name, rest) = constant.split_once(':').unwrap_or((constant, ""));
            let is_bit = REGISTERS.iter().any(|(register, bits)| {
                name.strip_prefix(register)
                    .is_some_and(|bit| bits.iter().any(|row| row.name == bit))
            });
            // CPUID has bits of the same names, which are no numbers in hexadecimal.
            let is_number = rest.starts_with(" u32 = 0x") || rest.contains("Msr::");
            let is_msr = is_number && MSRS.iter().any(|msr| msr.name.to_uppercase() == name);
            let Some((_, value)) = rest.split_once('=').filter(|_| is_bit || is_msr) else {
                continue;
            };
            if value.contains("::") {
                taken += 1;
            } else {
                typed_again.push(format!("{}: {}", file.display(), line.trim()));
            }
        }
    }
    assert!(typed_again.is_empty(), "{typed_again:#?}");
    assert!(taken > 10, "{taken}");
}
