//! The generated code as people would read it.

use vmm_config::{Handlers, Source};

fn generated(text: &str) -> String {
    let handlers = Handlers::Known(vec!["slow_tsc".to_owned()]);
    let lowered = vmm_config::policy(Source::new("some/vm.toml", text), &handlers, None)
        .unwrap_or_else(|report| panic!("{report}"));
    let file = syn::parse2(super::policy(&lowered)).unwrap_or_else(|error| panic!("{error}"));
    prettyplease::unparse(&file)
}

const SMALLEST: &str = r#"
[[vm]]
name = "small"
memory = "16 MiB"
intercepts = []
"#;

const EVERY_ANSWER: &str = r#"
[vmm]
quantum = "500 us"
log = "debug"

[set.base]
cpuid = "emulate"
hlt = "wait"
vmmcall = "hypercall"
pause = "stop"

[set.all]
extends = "base"
hlt = "count"
pause = "pass"
exception.de = "log"
cr8.read = "deny"
dr7.write = "deny"
rdpmc = "deny"
msr = "deny"
ioio = "deny"
gdtr.read = "stop"
swint = { action = "inject", vector = "gp", error = 0 }
rdtsc = { handler = "slow_tsc", log = true }
wbinvd = { action = "emulate", log = true }
exception.pf = "count"
exception.bp = { action = "inject", vector = "gp", error = 0 }
vmrun = { action = "inject", vector = "ud" }
vmsave = "count"

[[vm]]
name = "first"
cmdline = "demo"
memory = "64 MiB"
intercepts = "all"
tsc_offset = -1000

[[vm.io]]
ports = "0xf4"
action = "exit"
[[vm.msr]]
msr = "tsc_aux"
read = "pass"
write = "deny"

[[vm]]
name = "second"
image = "./kernel.elf"
memory = "32 MiB"
asid = 1
devices = []
halted = "crash"
intercepts = { extends = "base", hlt = "stop" }

[irq]
1 = "vmm"
5 = { vm = "second", ports = "0x220-0x22f" }
"#;

#[test]
fn the_smallest_policy_has_the_isolation_floor() {
    let code = generated(SMALLEST);
    insta::assert_snapshot!(code);
}

#[test]
fn every_kind_of_answer_becomes_its_handler() {
    let code = generated(EVERY_ANSWER);
    insta::assert_snapshot!(code);
}
