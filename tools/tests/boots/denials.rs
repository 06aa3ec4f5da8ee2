//! A refusal names the stanza that would lift it: pasted in, it does.

use iced_x86::code_asm::{al, dx};

use crate::harness::{Boot, Outcome, trials};
use crate::in_a_vm::POLICY;
use crate::tiny_guest::{power_off, tiny_guest};

trials![
    the_stanza_for_a_denied_port_lets_the_guest_reach_it,
    the_stanza_for_a_denied_msr_lets_the_guest_read_it,
    the_line_for_a_denied_exit_lets_the_guest_do_it,
    a_policy_of_random_actions_never_breaks_the_vmm,
    what_a_guest_was_refused_is_listed_at_the_end,
];

/// The stanza that the log shows: the lines with four blanks after its mark.
fn stanza(outcome: &Outcome) -> String {
    let lines: Vec<&str> = outcome
        .lines
        .iter()
        .filter_map(|line| line.strip_prefix("[vmm]     "))
        .collect();
    assert!(!lines.is_empty(), "{:#?}", outcome.lines);
    lines.join("\n")
}

fn is_refused(outcome: &Outcome) -> bool {
    outcome.lines.iter().any(|line| line.contains("is denied"))
}

/// Boots `kernel` without and with the stanza that the first boot shows.
fn stanza_lifts_the_refusal_of(kernel: &[u8]) {
    let refused = Boot::policy(POLICY).kernel(kernel).run().ends_with(0);
    assert!(is_refused(&refused), "{:#?}", refused.lines);
    let policy = POLICY.replace("#REST", &stanza(&refused));
    let allowed = Boot::policy(&policy).kernel(kernel).run().ends_with(0);
    assert!(!is_refused(&allowed), "{:#?}", allowed.lines);
}

fn the_stanza_for_a_denied_port_lets_the_guest_reach_it() {
    stanza_lifts_the_refusal_of(&tiny_guest(|a| {
        a.mov(dx, 0x1234)?;
        a.out(dx, al)?;
        power_off(a)
    }));
}

fn the_stanza_for_a_denied_msr_lets_the_guest_read_it() {
    // Without the stanza #GP finds no handler, so the guest is one that has some: the kernel.
    let exercise = POLICY.replace("CMDLINE", "exercise");
    let refused = Boot::policy(&exercise).run().ends_with(0);
    let stanza = stanza(&refused);
    let msr = "[[vm.msr]]";
    let (_, rules) = stanza.split_once(msr).expect("a stanza for an MSR");
    let rule = rules.split("[[").next().unwrap_or_default();
    let allowed = Boot::policy(&exercise.replace("#REST", &format!("{msr}{rule}")))
        .run()
        .ends_with(0);
    let number = rule
        .split("msr = ")
        .nth(1)
        .and_then(|rest| rest.lines().next());
    let told = format!("RDMSR of {}", number.expect("a number").trim());
    assert!(refused.lines.iter().any(|line| line.contains(&told)));
    let again = |line: &&String| line.contains(&told) && line.contains("is denied");
    assert!(
        !allowed.lines.iter().any(|line| again(&line)),
        "{:#?}",
        allowed.lines
    );
}

fn the_line_for_a_denied_exit_lets_the_guest_do_it() {
    let strict = POLICY
        .replace("CMDLINE", "exercise")
        .replace("[set.base]", "[set.base]\nwbinvd = \"deny\"");
    let refused = Boot::policy(&strict).run().ends_with(0);
    let line = refused
        .lines
        .iter()
        .find(|line| line.contains("VMEXIT_WBINVD"))
        .expect("a refusal");
    // `to allow it, write `"wbinvd" = "pass"` in …`
    let written = line.split('`').nth(1).expect("a line to write");
    let allowed = strict.replace("wbinvd = \"deny\"", written);
    let outcome = Boot::policy(&allowed).run().ends_with(0);
    assert!(
        !outcome
            .lines
            .iter()
            .any(|line| line.contains("VMEXIT_WBINVD"))
    );
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
    assert!(!is_refused(&outcome), "{:#?}", outcome.lines);
    let vm = &outcome.report["vms"][0];
    let refusals = vm["refusals"].as_array().expect("refusals");
    assert_eq!(refusals[0]["what"], "IN from port 0x1234");
    assert_eq!(refusals[0]["count"], 3);
    let told_apart = refusals.len() as u64 - 1;
    let others = vm["other_refusals"].as_u64().expect("others");
    assert!(told_apart > 10 && others > 10, "{vm}");
    assert_eq!(told_apart + others, PORTS);
}
