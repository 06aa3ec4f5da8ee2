//! The VMCB with which a VM enters its guest for the first time, as a debugger finds it, is the one
//! that the reference lays out for its policy.

use std::path::Path;

use intercepts::vmcb;
use serde_json::Value;
use tools::workspace::Workspace;

use crate::gdb::{self, Argument};
use crate::harness::{Boot, POLICY, slow, trials, vmm};

trials![
    the_reference_says_what_a_vmcb_holds_at_the_first_vmrun,
    it_does_so_for_shadow_paging_and_for_rules,
];

pub fn slow_trials() -> Vec<libtest_mimic::Trial> {
    slow![the_reference_says_what_a_vmcb_of_linux_holds_at_the_first_vmrun]
}

/// The 4096 bytes of the VMCB that the first VMRUN is to run.
fn vmcb_at_first_vmrun(policy: &str) -> Vec<u8> {
    let gdb = gdb::Stub::new();
    let stub = gdb.argument();
    let boot = Boot::policy(policy);
    let address = boot.symbol("svm_run_counted_0");
    let debugger = std::thread::spawn(move || gdb.read_from(Argument::First, address.into(), 4096));
    boot.args(["--", "-S", "-gdb", &stub]).run();
    debugger.join().expect("the debugger's part")
}

/// What the reference makes of the policy's VM, field by field.
fn fields_of(policy: &str) -> Vec<Value> {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let config = folder.path().join("vm.toml");
    std::fs::write(&config, policy).expect("a policy file");
    let written = vmm()
        .args(["vmcb-docs", "--format", "json", "--config"])
        .arg(&config)
        .output()
        .expect("the program starts");
    let data: Value = serde_json::from_slice(&written.stdout).expect("JSON");
    let fields = &data["policies"][0]["vms"][0]["fields"];
    fields.as_array().expect("fields").clone()
}

/// Fails unless the reference lists exactly the fields that are not zero, with their values as far
/// as it gives them.
fn assert_laid_out(policy: &str) {
    let bytes = vmcb_at_first_vmrun(policy);
    let said = fields_of(policy);
    let mut wrong = Vec::new();
    for field in vmcb::fields() {
        let bytes = &bytes[field.offset..field.offset + field.bytes];
        let digits: String = bytes
            .iter()
            .rev()
            .map(|byte| format!("{byte:02x}"))
            .collect();
        let value = bytes
            .iter()
            .any(|byte| *byte != 0)
            .then(|| format!("0x{digits}"));
        let of_it = said.iter().find(|said| said["field"] == field.name);
        let agrees = match of_it.map(|said| &said["value"]) {
            None => value.is_none(),
            Some(Value::Null) => value.is_some(),
            Some(said) => said.as_str() == value.as_deref(),
        };
        if !agrees {
            wrong.push(format!("{}: {value:?}, but {of_it:?}", field.name));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

fn the_reference_says_what_a_vmcb_holds_at_the_first_vmrun() {
    assert_laid_out(POLICY);
}

fn it_does_so_for_shadow_paging_and_for_rules() {
    let policy = POLICY.replace(
        "memory ",
        "npt = false\ntsc_offset = 4096\nasid = 3\nmemory ",
    ) + "[[vm.io]]\nports = \"0xed-0xee\"\naction = \"pass\"\n\
           [[vm.msr]]\nmsr = \"tsc_aux\"\nread = \"pass\"\nwrite = \"deny\"\n";
    assert_laid_out(&policy);
}

fn the_reference_says_what_a_vmcb_of_linux_holds_at_the_first_vmrun() {
    let folder = Workspace::find().root().join("policies");
    let policy = std::fs::read_to_string(Path::new(&folder).join("linux.toml")).expect("a policy");
    assert_laid_out(&policy);
    let long = policy.replace("memory ", "protocol = \"linux-64\"\nmemory ");
    assert_laid_out(&long);
}
