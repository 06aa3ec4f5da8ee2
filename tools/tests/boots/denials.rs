//! A refusal names the stanza that would lift it: pasted in, it does.

use std::collections::BTreeMap;

use iced_x86::code_asm::{CodeAssembler, al, dx, eax, ecx, edx, ptr};

use crate::harness::{Boot, Outcome, trials};
use crate::in_a_vm::POLICY;
use crate::modes::toolbox::{Done, START, code, end, kernel, try_to};
use crate::tiny_guest::{power_off, tiny_guest};

trials![
    the_stanzas_for_denied_ports_let_the_guest_reach_them,
    the_stanzas_for_denied_msrs_let_the_guest_use_them,
    the_line_for_a_denied_exit_lets_the_guest_do_it,
    the_line_for_an_exit_that_shadow_paging_needs_lets_the_guest_do_it,
    a_policy_of_random_actions_never_breaks_the_vmm,
    what_a_guest_was_refused_is_listed_at_the_end,
];

/// A rule of a policy, as the log names it, and as it is written.
struct Rule {
    name: &'static str,
    text: &'static str,
}

/// The stanzas that the log shows, the last one for each thing, by the rule whose place they take or
/// else by what they are for: the lines with four blanks after a refusal.
fn stanzas(outcome: &Outcome) -> BTreeMap<String, String> {
    let mut stanzas = BTreeMap::new();
    let mut lines = outcome.lines.iter().peekable();
    while let Some(line) = lines.next() {
        let mut stanza = String::new();
        let mut what = String::new();
        while let Some(written) = lines
            .peek()
            .and_then(|line| line.strip_prefix("[vmm]     "))
        {
            if what.is_empty() && written.contains(" = ") {
                what = written.to_owned();
            }
            stanza += &format!("{written}\n");
            lines.next();
        }
        if let Some((_, rule)) = line.split_once("in place of the rule for ") {
            what = rule.trim_end_matches(", add").to_owned();
        }
        if !stanza.is_empty() {
            stanzas.insert(what, stanza);
        }
    }
    stanzas
}

fn refusals(outcome: &Outcome) -> Vec<&String> {
    let is_refusal = |line: &&String| line.contains("is denied");
    outcome.lines.iter().filter(is_refusal).collect()
}

/// Boots `kernel` with the rule, and again with the stanzas that the first boot shows.
fn stanzas_lift_the_refusals_of(kernel: &[u8], rule: &Rule, refused: usize) {
    let policy = POLICY.replace("#REST", rule.text);
    let before = Boot::policy(&policy).kernel(kernel).run().ends_with(0);
    assert_eq!(refusals(&before).len(), refused, "{:#?}", before.lines);
    let mut stanzas = stanzas(&before);
    let in_its_place = stanzas.remove(rule.name).expect("a stanza for the rule");
    let others: String = stanzas.into_values().collect();
    let policy = POLICY.replace("#REST", &(others + &in_its_place));
    let after = Boot::policy(&policy).kernel(kernel).run().ends_with(0);
    assert!(refusals(&after).is_empty(), "{policy}\n{:#?}", after.lines);
}

fn the_stanzas_for_denied_ports_let_the_guest_reach_them() {
    let guest = tiny_guest(|a| {
        for port in [0x1234, 0x301, 0x30f] {
            a.mov(dx, port)?;
            a.out(dx, al)?;
            a.in_(al, dx)?;
        }
        power_off(a)
    });
    let rule = Rule {
        name: "0x300-0x30f",
        text: "[[vm.io]]\nports = \"0x300-0x30f\"\naction = \"deny\"",
    };
    stanzas_lift_the_refusals_of(&guest, &rule, 6);
}

fn the_stanzas_for_denied_msrs_let_the_guest_use_them() {
    let guest = kernel(vec![code(32, START, START, |a| {
        for msr in [0x1234, 0x200, 0x2ff] {
            for is_write in [false, true] {
                try_to(a, |a| {
                    a.mov(ecx, msr)?;
                    a.xor(eax, eax)?;
                    a.xor(edx, edx)?;
                    if is_write { a.wrmsr() } else { a.rdmsr() }
                })?;
            }
        }
        end(a)
    })]);
    let rule = Rule {
        name: "0x200-0x2ff",
        text: "[[vm.msr]]\nmsr = \"0x200-0x2ff\"\nread = \"ignore\"\nwrite = \"deny\"",
    };
    stanzas_lift_the_refusals_of(&guest, &rule, 4);
}

/// Boots a guest that does `touch` with the exit denied, and again with the line that the log shows.
fn line_lifts_the_refusal_of(
    exit: &str,
    paging: &str,
    touch: impl FnOnce(&mut CodeAssembler) -> Done,
) {
    let guest = kernel(vec![code(32, START, START, |a| {
        try_to(a, touch)?;
        end(a)
    })]);
    let denied = format!("{exit} = \"deny\"");
    let strict = POLICY
        .replace("[set.base]", &format!("[set.base]\n{denied}"))
        .replace("#REST", paging);
    let before = Boot::policy(&strict).kernel(&guest).run().ends_with(0);
    let [refusal] = refusals(&before)[..] else {
        panic!("{:#?}", before.lines)
    };
    // `to allow it, write `"wbinvd" = "pass"` in …`
    let written = refusal.split('`').nth(1).expect("a line to write");
    let policy = strict.replace(&denied, written);
    let after = Boot::policy(&policy).kernel(&guest).run().ends_with(0);
    assert!(refusals(&after).is_empty(), "{policy}\n{:#?}", after.lines);
}

fn the_line_for_a_denied_exit_lets_the_guest_do_it() {
    line_lifts_the_refusal_of("wbinvd", "", CodeAssembler::wbinvd);
}

/// There `pass` would be refused.
fn the_line_for_an_exit_that_shadow_paging_needs_lets_the_guest_do_it() {
    line_lifts_the_refusal_of("invlpg", "npt = false", |a| a.invlpg(ptr(0x1000)));
}

/// Numbers that look random and are the same in every run (xorshift).
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, end: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % end as u64) as usize
    }
}

/// Whether a policy for QEMU may say something about `exit`.
fn is_choice(exit: &intercepts::Exit) -> bool {
    let qemu = vmm_config::Machine::by_name("qemu-tcg").expect("a machine");
    exit.owner == intercepts::Owner::Policy && exit.feature.is_none_or(|feature| qemu.has(feature))
}

/// Five policies that answer each exit with any action that fits it. What the guest makes of it
/// is its own affair; the VMM may end its VM, but must not break.
fn a_policy_of_random_actions_never_breaks_the_vmm() {
    use intercepts::{Action, EXITS};
    for seed in 1..=5 {
        let mut numbers = Numbers(0x9e37_79b9_7f4a_7c15 + seed);
        let mut set = String::from("[set.base]\n");
        for exit in EXITS.iter().filter(|exit| is_choice(exit)) {
            let fitting: Vec<Action> = Action::ALL
                .into_iter()
                .filter(|action| exit.accepts(*action))
                .collect();
            let action = match fitting.get(numbers.below(fitting.len().max(1))) {
                Some(Action::Inject) => "{ action = \"inject\", vector = \"ud\" }".to_string(),
                Some(Action::Stop) | None => continue,
                Some(action) => format!("\"{}\"", action.name()),
            };
            set.push_str(&format!("\"{}\" = {action}\n", exit.name));
        }
        let policy = format!("[target]\nmachine = \"qemu-tcg\"\n{set}")
            + "[[vm]]\nname = \"demo\"\nimage = \"guest\"\ncmdline = \"exercise\"\n\
               memory = \"16 MiB\"\nintercepts = \"base\"\n";
        let outcome = Boot::policy(&policy).within_seconds("20").run();
        // 2: a feature that the machine lacks, or an exit that it does not take.
        assert!(
            matches!(outcome.status, Some(0 | 1 | 2 | 124)),
            "seed {seed}: {outcome:#?}\n{policy}"
        );
        assert_ne!(outcome.status, Some(2), "seed {seed}: {}", outcome.talk);
    }
}

/// However little the log says. More ports than are told apart one by one are counted together.
fn what_a_guest_was_refused_is_listed_at_the_end() {
    const PORTS: u64 = 100;
    let policy = POLICY.replace("[set.base]", "[vmm]\nlog = \"error\"\n[set.base]");
    let outcome = Boot::policy(&policy)
        .kernel(&tiny_guest(|a| {
            for _ in 0..3 {
                a.mov(dx, 0x1234)?;
                a.in_(al, dx)?;
            }
            for port in 0x2000..0x2000 + PORTS {
                a.mov(dx, port as u32)?;
                a.out(dx, al)?;
            }
            power_off(a)
        }))
        .run()
        .ends_with(0)
        .shows("IN from port 0x1234")
        .shows("other things");
    assert!(refusals(&outcome).is_empty(), "{:#?}", outcome.lines);
    let vm = &outcome.report["vms"][0];
    let listed = vm["refusals"].as_array().expect("refusals");
    assert_eq!(listed[0]["what"], "IN from port 0x1234");
    assert_eq!(listed[0]["count"], 3);
    let told_apart = listed.len() as u64 - 1;
    let others = vm["other_refusals"].as_u64().expect("others");
    assert!(told_apart > 10 && others > 10, "{vm}");
    assert_eq!(told_apart + others, PORTS);
}
