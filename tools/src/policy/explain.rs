//! `cargo vmm explain`: what a name or number of the policy language stands for.

use clap::Args;

use super::facts::{self, Fact};
use crate::failure::{Failure, Result, Status};
use crate::progress::produce;

/// Explains an exit, VMCB field, MSR, CPUID feature, port, word or rule, by name or number
#[derive(Args, Debug)]
pub struct Explain {
    /// A name as in vm.toml or in the manual, or a number: cr3.write, 0x72, efer, VMEXIT_NPF
    #[arg(allow_negative_numbers = true)]
    what: String,
}

/// Runs the command.
pub fn run(command: &Explain) -> Result<Status> {
    let what = command.what.trim();
    let beginning = format!("{}.", what.to_lowercase());
    let begins = |fact: &Fact| fact.names.iter().any(|name| name.starts_with(&beginning));
    let (mut found, others): (Vec<&Fact>, Vec<&Fact>) =
        facts::all().iter().partition(|fact| fact.is(what));
    // `cr3` is a field, and the beginning of the exits `cr3.read` and `cr3.write`.
    found.extend(others.into_iter().filter(|fact| begins(fact)));
    if found.is_empty() {
        return Err(Failure::bad_input(unknown(what)));
    }
    let texts: Vec<&str> = found.iter().map(|fact| fact.text.as_str()).collect();
    produce(&texts.join("\n"));
    Ok(Status::Good)
}

fn unknown(what: &str) -> String {
    let names = facts::all().iter().flat_map(|fact| &fact.names);
    let near = vmm_config::nearest(what, names.map(String::as_str));
    let hint = match near {
        Some(near) => format!("did you mean `{near}`?"),
        None => "write a name as in vm.toml, such as `cr3.write`, or an exit code".to_owned(),
    };
    format!("there is nothing called `{what}`; {hint}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(what: &str) -> String {
        let found = facts::all().iter().filter(|fact| fact.is(what));
        found.map(|fact| fact.text.as_str()).collect()
    }

    #[test]
    fn a_name_a_code_and_the_manuals_name_lead_to_the_same_exit() {
        let by_name = texts("cpuid");
        assert!(by_name.contains("VMEXIT_CPUID"), "{by_name}");
        assert_eq!(texts("VMEXIT_CPUID"), by_name);
        for number in ["0x72", "114", "72h"] {
            assert!(texts(number).contains(&by_name), "{number}");
        }
    }

    #[test]
    fn an_exit_code_below_zero_is_what_vmrun_refuses() {
        assert!(texts("-1").contains("VMEXIT_INVALID"));
        assert!(texts("-2").contains("VMEXIT_BUSY"));
    }

    #[test]
    fn fields_msrs_features_words_and_rules_are_explained() {
        for (what, part) in [
            ("tsc_offset", "050h"),
            ("vintr", "24    V_INTR_MASKING"),
            ("guest_asid", "ASID 0 is the host's"),
            ("efer", "0xc0000080"),
            ("0xc0000080", "efer"),
            ("x2apic", "ECX bit 21"),
            ("nrip", "EDX bit 3"),
            ("#PF", "exception.pf"),
            ("asid-zero", "VMRUN"),
            ("count", "counted"),
            ("zen2", "family 17h"),
            ("uart", "16550A"),
            ("0x60", "keyboard"),
            ("leaf", "CPUID"),
        ] {
            assert!(texts(what).contains(part), "{what}: {}", texts(what));
        }
    }

    #[test]
    fn every_exit_and_rule_can_be_explained() {
        for exit in intercepts::EXITS {
            assert!(texts(exit.name).contains(exit.apm), "{}", exit.name);
        }
        for rule in vmm_config::rules::RULES {
            assert!(texts(rule.name).contains(rule.demands), "{}", rule.name);
        }
    }

    #[test]
    fn a_near_miss_is_named() {
        assert!(unknown("cr3.wrte").contains("`cr3.write`"));
        assert!(unknown("qqqqqqqqqq").contains("such as"));
    }
}
