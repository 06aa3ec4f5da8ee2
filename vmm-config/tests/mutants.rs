//! Whatever becomes of a good policy's text, it is refused at a place inside the file, or it
//! makes a VMCB that VMRUN accepts. Nothing panics.

mod common;

use intercepts::{Action, EXITS, Intercept, vmcb};
use proptest::prelude::*;
use vmm_config::expand::Expanded;
use vmm_config::lowered::{Gate, Vm};
use vmm_config::written::Answer;
use vmm_config::{Handlers, Lowered, Source};

const GOOD: [&str; 4] = [
    include_str!("../../vm.toml"),
    r#"
[target]
machine = "zen4"
[set.a]
cpuid = "emulate"
exception.de = "count"
exception.pf = { action = "count", log = true }
rdtsc = { action = "inject", vector = "gp", error = 0 }
pause = { handler = "quiet" }
[set.b]
extends = ["a"]
mwait = "wait"
"mwait.armed" = "wait"
[[vm]]
name = "one"
memory = "64 MiB"
asid = 2
intercepts = "b"
[[vm.io]]
ports = "0x300-0x30f"
action = "pass"
[[vm.msr]]
msr = "tsc_aux"
read = "pass"
"#,
    r#"
[[vm]]
name = "two"
image = "./k.elf"
memory = "8 MiB"
npt = true
devices = ["pic", "pit"]
halted = "crash"
tsc_offset = -5
intercepts = { hlt = "stop" }
[irq]
1 = "vmm"
5 = { vm = "two", ports = "0x220" }
"#,
    r#"
[target]
machine = "bochs-ryzen"
[set.a]
cpuid = { limit = 9, then = "pass", when = [
    { leaf = 1, cpl = 3, action = "inject", vector = "gp", error = 0 },
    { subleaf = "1-0xff", rip = 0x1000, handler = "quiet" },
    { action = "count", log = true },
] }
ioio = { when = [{ port = "0x60-0x64", write = true, action = "log" }, { action = "emulate" }] }
msr = { when = [{ msr = "efer", write = false, action = "stop" }, { action = "emulate" }] }
rdtsc = { action = "count", limit = 1000 }
vmmcall = { when = [{ number = 0, action = "stop" }, { action = "hypercall" }] }
exception.pf = { when = [{ address = "0-0xfff", error_code = "4-7", action = "stop" }, { action = "count" }] }
[[vm]]
name = "three"
memory = "8 MiB"
tlb = "asid"
intercepts = "a"
[vm.cpuid]
hide = ["sse3", "0x80000008"]
show = ["aes", "hypervisor", "7.1"]
set = { "0x40000000" = { eax = 1, edx = 0xffffffff } }
[[vm.msr]]
msr = "hwcr"
read = "ignore"
"#,
];

/// Pieces that a policy is made of, and some that it is not.
const PIECES: [&str; 46] = [
    "\"",
    "'''",
    "=",
    "[",
    "]",
    "[[",
    "]]",
    "{",
    "}",
    ".",
    ",",
    "#",
    "\n",
    "\r\n",
    "\0",
    "ü",
    "0x",
    "-1",
    "99999999999999999999",
    "1e9",
    "true",
    "nan",
    "1979-05-27",
    "\"pass\"",
    "\"count\"",
    "\"stop\"",
    "\"inject\"",
    "\"64 MiB\"",
    "\"1 KiB\"",
    "\"vmm\"",
    "extends",
    "when",
    "limit",
    "then",
    "[vm.cpuid]",
    "port = 1",
    "\"sse3\"",
    "npt",
    "asid",
    "cr3.write",
    "exception.pf",
    "npf",
    "shutdown",
    "[set.x]",
    "[[vm]]",
    "\\u0000",
];

/// What is done to a text, at a place given in thousandths of its length.
#[derive(Clone, Debug)]
enum Change {
    Cut(usize, usize),
    Insert(usize, &'static str),
    Copy(usize, usize, usize),
    Byte(usize, u8),
}

fn change() -> impl Strategy<Value = Change> {
    let place = 0..1000_usize;
    prop_oneof![
        (place.clone(), 0..20_usize).prop_map(|(at, length)| Change::Cut(at, length)),
        (place.clone(), prop::sample::select(&PIECES[..]))
            .prop_map(|(at, piece)| Change::Insert(at, piece)),
        (place.clone(), 0..40_usize, place.clone())
            .prop_map(|(from, length, to)| Change::Copy(from, length, to)),
        (place, any::<u8>()).prop_map(|(at, byte)| Change::Byte(at, byte)),
    ]
}

fn apply(bytes: &mut Vec<u8>, change: &Change) {
    let place = |thousandths: usize| bytes.len() * thousandths / 1000;
    match *change {
        Change::Cut(at, length) => {
            let start = place(at);
            let end = (start + length).min(bytes.len());
            bytes.drain(start..end);
        }
        Change::Insert(at, piece) => {
            let at = place(at);
            bytes.splice(at..at, piece.bytes());
        }
        Change::Copy(from, length, to) => {
            let (from, to) = (place(from), place(to));
            let end = (from + length).min(bytes.len());
            let piece = bytes[from..end].to_vec();
            bytes.splice(to..to, piece);
        }
        Change::Byte(at, byte) => {
            let at = place(at);
            if let Some(place) = bytes.get_mut(at) {
                *place = byte;
            }
        }
    }
}

fn holds(text: &str) -> Result<(), TestCaseError> {
    let handlers = Handlers::Known(vec!["quiet".to_owned()]);
    match vmm_config::policy(Source::new("vm.toml", text), &handlers, None) {
        Err(report) => {
            let lines = text.matches('\n').count() + 1;
            prop_assert!(report.has_errors());
            for finding in &report.findings {
                prop_assert!((1..=lines).contains(&finding.at.start.line));
            }
            for picture in report.pictures(true).chain(report.pictures(false)) {
                prop_assert!(!picture.is_empty());
            }
        }
        Ok(lowered) => {
            prop_assert!(!lowered.vms.is_empty());
            written_out(&lowered, &handlers)?;
            for vm in &lowered.vms {
                let control = common::vmcb(vm);
                prop_assert_eq!(vmcb::validate(&control, 1 << 40), Ok(()));
                for gate in &vm.gates {
                    prop_assert!(gate.answer != Answer::Action(Action::Pass));
                }
                for exit in EXITS.iter().filter(|exit| exit.is_floor()) {
                    prop_assert!(
                        vmcb::intercepts(&control, exit.code),
                        "{} is not intercepted",
                        exit.name
                    );
                }
                for exit in EXITS {
                    let has_bit = matches!(exit.intercept, Intercept::Bit { .. });
                    let handled = vm.gates.iter().any(|gate| gate.exit.code == exit.code);
                    if has_bit {
                        prop_assert_eq!(vmcb::intercepts(&control, exit.code), handled);
                    }
                }
            }
        }
    }
    Ok(())
}

/// Written out, a policy is a policy that means the same.
fn written_out(lowered: &Lowered, handlers: &Handlers) -> Result<(), TestCaseError> {
    let text = Expanded(lowered).to_string();
    let again = vmm_config::policy(Source::new("vm.toml", &text), handlers, None);
    let again = again.map_err(|report| TestCaseError::fail(format!("{text}\n{report}")))?;
    prop_assert_eq!(
        Expanded(&again).to_string().lines().count(),
        text.lines().count()
    );
    for (one, other) in lowered.vms.iter().zip(&again.vms) {
        let handlers = |vm: &Vm| -> Vec<_> {
            let rules = |gate: &Gate| -> Vec<_> {
                let rules = gate.rules.iter();
                rules
                    .map(|rule| (rule.conditions.clone(), rule.handler.clone(), rule.log))
                    .collect()
            };
            vm.gates
                .iter()
                .map(|gate| {
                    let answer = (gate.handler.clone(), gate.log, gate.limit);
                    (gate.exit.code, rules(gate), answer)
                })
                .collect()
        };
        let fields = |vm: &Vm| -> Vec<_> {
            vm.vmcb
                .iter()
                .map(|field| (field.field.name, field.value))
                .collect()
        };
        prop_assert_eq!(handlers(one), handlers(other));
        prop_assert_eq!(fields(one), fields(other));
        let ports = |vm: &Vm| -> Vec<_> {
            vm.io
                .iter()
                .map(|rule| (rule.first, rule.last, rule.action))
                .collect()
        };
        let msrs = |vm: &Vm| -> Vec<_> {
            vm.msrs
                .iter()
                .map(|rule| (rule.first, rule.last, rule.read, rule.write))
                .collect()
        };
        let cpuid = |vm: &Vm| -> Vec<_> {
            vm.cpuid
                .iter()
                .map(|rule| (rule.leaf, rule.keep, rule.host, rule.set))
                .collect()
        };
        prop_assert_eq!((ports(one), msrs(one)), (ports(other), msrs(other)));
        prop_assert_eq!((cpuid(one), one.tlb), (cpuid(other), other.tlb));
        prop_assert_eq!((&one.devices, one.halted), (&other.devices, other.halted));
        prop_assert_eq!((&one.name, &one.cmdline), (&other.name, &other.cmdline));
        prop_assert_eq!((&one.image, one.memory), (&other.image, other.memory));
    }
    let routes = |policy: &Lowered| -> Vec<_> {
        policy
            .routes
            .iter()
            .map(|route| (route.line, route.vm))
            .collect()
    };
    prop_assert_eq!(routes(lowered), routes(&again));
    prop_assert_eq!(lowered.quantum_us, again.quantum_us);
    Ok(())
}

#[test]
fn the_policies_to_be_changed_are_good() {
    for text in GOOD {
        let handlers = Handlers::Known(vec!["quiet".to_owned()]);
        let result = vmm_config::policy(Source::new("vm.toml", text), &handlers, None);
        let warnings = result.unwrap_or_else(|report| panic!("{report}")).warnings;
        assert!(warnings.findings.is_empty(), "{warnings}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1500))]

    #[test]
    fn a_changed_policy_is_refused_at_a_line_or_makes_a_legal_vmcb(
        good in prop::sample::select(&GOOD[..]),
        changes in prop::collection::vec(change(), 1..6),
    ) {
        let mut bytes = good.as_bytes().to_vec();
        for change in &changes {
            apply(&mut bytes, change);
        }
        holds(&String::from_utf8_lossy(&bytes))?;
    }

    #[test]
    fn any_text_gives_a_policy_or_a_report(text in "\\PC{0,80}|[\\[\\]{}=.\"'a-z0-9\n ]{0,200}") {
        holds(&text)?;
    }
}
