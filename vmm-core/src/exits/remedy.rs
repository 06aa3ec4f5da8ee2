//! What to write in `vm.toml` so that a guest gets what it was refused. A stanza can be pasted: where
//! it would overlap with a rule of the policy, it is for that rule's place.

use core::fmt::{self, Display, Formatter};

use intercepts::Exit;

use crate::policy::MsrAction;
use crate::vm::Vm;
use crate::vm::denials::Denied;

/// For an exit that the policy denies.
pub struct OfExit<'a> {
    pub exit: &'a Exit,
    pub npt: bool,
}

impl Display for OfExit<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let name = self.exit.name;
        match self.exit.permission(self.npt) {
            Some(action) => write!(
                f,
                "to allow it, write `\"{name}\" = \"{}\"` in the VM's intercept set, in place of \
                 what that says of `{name}`",
                action.name()
            ),
            None if self.npt => f.write_str("the CPU that guests see does not have it"),
            None => f.write_str("the CPU that guests see under shadow paging does not have it"),
        }
    }
}

/// For a port that no rule answers, or one that denies it; for both directions.
pub struct OfPort<'a> {
    pub vm: &'a Vm,
    pub port: u16,
    /// A wide access that begins at a port that is passed: this one must be too.
    pub has_company: bool,
}

impl Display for OfPort<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let has = |denied| self.vm.denials.has(denied);
        if has(Denied::In(self.port)) && has(Denied::Out(self.port)) {
            return f.write_str("what allows the other direction allows this one too");
        }
        let (first, last) = match self.vm.policy.io_rule(self.port) {
            None => {
                f.write_str("to allow it, add")?;
                (self.port, self.port)
            }
            Some(rule) => {
                let ports = Range(rule.first.into(), rule.last.into());
                write!(f, "to allow it, in place of the rule for {ports}, add")?;
                (rule.first, rule.last)
            }
        };
        let number = |denied| match denied {
            Denied::In(port) | Denied::Out(port) => Some(port.into()),
            _ => None,
        };
        let part = |ports: Range, refused| {
            let action = match refused {
                true if self.has_company => "\"pass\"",
                true => "\"ignore\"    # or \"pass\", if the machine's own port is meant",
                false => "\"deny\"",
            };
            write!(
                f,
                "\n    [[vm.io]]\n    ports = \"{ports}\"\n    action = {action}"
            )
        };
        parts(first.into(), last.into(), self.vm, number, part)
    }
}

/// For an MSR that the policy denies, or of which the VMM has no model.
pub struct OfMsr<'a> {
    pub vm: &'a Vm,
    pub msr: u32,
}

impl Display for OfMsr<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let has = |denied| self.vm.denials.has(denied);
        let (first, last, read, write) = match self.vm.policy.msr_rule(self.msr) {
            None if has(Denied::Rdmsr(self.msr)) && has(Denied::Wrmsr(self.msr)) => {
                f.write_str("to allow both directions, add nothing but")?;
                (self.msr, self.msr, MsrAction::Emulate, MsrAction::Emulate)
            }
            None => {
                f.write_str("to allow it, add")?;
                (self.msr, self.msr, MsrAction::Emulate, MsrAction::Emulate)
            }
            Some(rule) => {
                let msrs = Range(rule.first, rule.last);
                write!(f, "to allow it, in place of the rule for {msrs}, add")?;
                (rule.first, rule.last, rule.read, rule.write)
            }
        };
        let number = |denied| match denied {
            Denied::Rdmsr(msr) | Denied::Wrmsr(msr) => Some(msr),
            _ => None,
        };
        parts(first, last, self.vm, number, |msrs, refused| {
            let action = |denied, otherwise: MsrAction| match refused && has(denied) {
                true => "ignore",
                false => otherwise.name(),
            };
            write!(
                f,
                "\n    [[vm.msr]]\n    msr = \"{msrs}\"\n    read = \"{}\"\n    write = \"{}\"",
                action(Denied::Rdmsr(msrs.0), read),
                action(Denied::Wrmsr(msrs.0), write),
            )
        })
    }
}

/// Calls `part` for each number that was refused, alone, and for what lies between them.
fn parts(
    first: u32,
    last: u32,
    vm: &Vm,
    number: impl Fn(Denied) -> Option<u32>,
    mut part: impl FnMut(Range, bool) -> fmt::Result,
) -> fmt::Result {
    let mut next = Some(first);
    while let Some(start) = next {
        let refused = vm
            .denials
            .iter()
            .filter_map(|(denied, _)| number(denied))
            .filter(|refused| (start..=last).contains(refused))
            .min();
        let end = match refused {
            Some(refused) if refused == start => start,
            Some(refused) => refused - 1,
            None => last,
        };
        part(Range(start, end), refused == Some(start))?;
        next = end.checked_add(1).filter(|next| *next <= last);
    }
    Ok(())
}

/// Numbers as `vm.toml` has them.
struct Range(u32, u32);

impl Display for Range {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "{:#x}", self.0)?;
        if self.1 != self.0 {
            write!(f, "-{:#x}", self.1)?;
        }
        Ok(())
    }
}
