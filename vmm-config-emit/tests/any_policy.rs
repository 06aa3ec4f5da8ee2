//! Whatever policy is not refused, its code is Rust.

#[path = "../../vmm-config/tests/change/mod.rs"]
mod change;

use change::{GOOD, apply, change};
use proptest::prelude::*;
use vmm_config::{Handlers, Source};

fn is_refused_or_rust(text: &str) -> Result<(), TestCaseError> {
    let handlers = Handlers::Known(vec!["quiet".to_owned()]);
    if let Ok(lowered) = vmm_config::policy(Source::new("vm.toml", text), &handlers, None) {
        let code = vmm_config_emit::policy(&lowered);
        prop_assert!(syn::parse2::<syn::File>(code.clone()).is_ok(), "{code}");
        let formatted = vmm_config_emit::text(&lowered).starts_with("mod policy {\n");
        prop_assert!(formatted, "{code}");
    }
    Ok(())
}

#[test]
fn good_policies_are_rust() {
    for text in GOOD {
        is_refused_or_rust(text).unwrap();
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn a_changed_policy_is_refused_or_rust(
        good in prop::sample::select(&GOOD[..]),
        changes in prop::collection::vec(change(), 1..3),
    ) {
        let mut bytes = good.as_bytes().to_vec();
        for change in &changes {
            apply(&mut bytes, change);
        }
        is_refused_or_rust(&String::from_utf8_lossy(&bytes))?;
    }
}
