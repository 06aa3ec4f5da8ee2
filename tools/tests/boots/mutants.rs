//! Spoilt policies that the checks let through boot and break nothing.

use proptest::collection::vec;
use proptest::strategy::{Strategy, ValueTree};
use proptest::test_runner::{RngAlgorithm, TestRng, TestRunner};
use vmm_config::expand::Expanded;
use vmm_config::{Handlers, Source};

use crate::change::{GOOD, apply, change};
use crate::harness::{Boot, trials};

trials![a_spoilt_policy_that_passes_the_checks_never_breaks_the_vmm];

/// What a policy comes to, if it is one.
fn meaning(text: &str) -> Option<String> {
    let policy = vmm_config::policy(Source::new("vm.toml", text), &Handlers::Unknown, None);
    Some(Expanded(&policy.ok()?).to_string())
}

/// The first spoilt text of this seed that is a policy, and not the one that it was.
fn mutant(seed: u8) -> String {
    let rng = TestRng::from_seed(RngAlgorithm::ChaCha, &[seed; 32]);
    let mut runner = TestRunner::new_with_rng(Default::default(), rng);
    let [good, ..] = GOOD;
    loop {
        let changes = vec(change(), 1..4).new_tree(&mut runner).expect("changes");
        let mut bytes = good.as_bytes().to_vec();
        for change in &changes.current() {
            apply(&mut bytes, change);
        }
        let text = String::from_utf8_lossy(&bytes).into_owned();
        let spoilt = meaning(&text);
        // What a comment says changes nothing, but lines are told with what they mean.
        if spoilt.is_some() && sense(&spoilt) != sense(&meaning(good)) {
            return text;
        }
    }
}

/// The policy without what stands behind `#` on each line.
fn sense(expanded: &Option<String>) -> Vec<&str> {
    let lines = expanded.iter().flat_map(|text| text.lines());
    lines
        .map(|line| line.split('#').next().unwrap_or_default().trim_end())
        .collect()
}

/// Some other image or too much memory may be asked for, and the guest may not come to its
/// prompt: all this has its status. A VMM that breaks has another.
fn a_spoilt_policy_that_passes_the_checks_never_breaks_the_vmm() {
    for seed in 1..=5 {
        let policy = mutant(seed);
        let boot = Boot::policy(&policy).within_seconds("20");
        let outcome = boot.args(["--until", "tollgate> "]).run();
        let whole = matches!(outcome.status, Some(0..=3 | 5 | 124));
        assert!(whole, "seed {seed}: {outcome:#?}\n{policy}");
        let booted = outcome.report["vms"]
            .as_array()
            .is_some_and(|vms| !vms.is_empty());
        assert!(booted, "seed {seed}: {outcome:#?}\n{policy}");
    }
}
