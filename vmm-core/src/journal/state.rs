//! A VM's state as words: what a journal compares.

use core::fmt;

use intercepts::vmcb::{self, Vmcb};

use crate::vm::{Instance, State};

/// Words of a VMCB.
const VMCB: usize = size_of::<Vmcb>() / 8;
/// The words behind them: the GPRs, and what the VMM knows of the VM.
const MORE: [&str; 17] = [
    "RBX", "RCX", "RDX", "RSI", "RDI", "RBP", "R8", "R9", "R10", "R11", "R12", "R13", "R14", "R15",
    "waiting", "end", "flags",
];
const WORDS: usize = VMCB + MORE.len();
/// The first word of the save area.
const SAVE: usize = 0x400 / 8;

/// A VM's state.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Words([u64; WORDS]);

impl Default for Words {
    fn default() -> Words {
        Words([0; WORDS])
    }
}

impl Words {
    /// That of a VM now.
    pub fn of(instance: &Instance) -> Words {
        let mut words = Words::default();
        let (vmcb, more) = words.0.split_at_mut(VMCB);
        vmcb.copy_from_slice(instance.vcpu.vmcb().words());
        let gprs = &instance.vcpu.gprs;
        let low = [gprs.rbx, gprs.rcx, gprs.rdx, gprs.rsi, gprs.rdi, gprs.rbp];
        let vm = &instance.vm;
        let own = [
            u64::from(vm.state == State::Waiting),
            vm.end.as_ref().map_or(0, |end| end.how as u64 + 1),
            u64::from(vm.retry_soon)
                | u64::from(vm.is_marked) << 1
                | u64::from(vm.awaits_end_of_interrupt) << 2
                | u64::from(vm.paused) << 3,
        ];
        let values = low.into_iter().chain(gprs.r8_r15).chain(own);
        for (word, value) in more.iter_mut().zip(values) {
            *word = value;
        }
        words
    }

    /// Gives a VM the words that these characters of a journal say: those of the VMCB and the
    /// GPRs; what is the VMM's own, no guest changes. Words that are none are passed over.
    pub fn give(&mut self, text: &str, instance: &mut Instance) {
        for pair in text.split_ascii_whitespace() {
            let Some((index, value)) = pair.split_once('=') else {
                continue;
            };
            let index = usize::from_str_radix(index, 16).ok();
            let value = u64::from_str_radix(value, 16).ok();
            let (Some(index), Some(value)) = (index, value) else {
                continue;
            };
            if let Some(word) = self.0.get_mut(index) {
                *word = value;
                give(instance, index, value);
            }
        }
    }

    /// The words that differ from those of `before`, for a journal.
    pub fn since<'w>(&'w self, before: &'w Words) -> Changes<'w> {
        Changes {
            before,
            after: self,
        }
    }
}

fn give(instance: &mut Instance, index: usize, value: u64) {
    if let Some(word) = instance.vcpu.vmcb_words().get_mut(index) {
        *word = value;
        return;
    }
    let gprs = &mut instance.vcpu.gprs;
    let place = match index - VMCB {
        0 => &mut gprs.rbx,
        1 => &mut gprs.rcx,
        2 => &mut gprs.rdx,
        3 => &mut gprs.rsi,
        4 => &mut gprs.rdi,
        5 => &mut gprs.rbp,
        high => match gprs.r8_r15.get_mut(high - 6) {
            Some(place) => place,
            None => return,
        },
    };
    *place = value;
}

/// Words that have changed.
pub struct Changes<'w> {
    before: &'w Words,
    after: &'w Words,
}

impl fmt::Display for Changes<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let words = self.before.0.iter().zip(&self.after.0).enumerate();
        for (index, (before, after)) in words {
            if before != after {
                write!(f, " {index:x}={after:x}")?;
            }
        }
        Ok(())
    }
}

/// What the word with this number in a journal is: fields of the VMCB, a register, or the VMM's
/// own. `differing`: the bits that matter; fields that have none of them are left out.
pub fn word_name(index: usize, differing: u64) -> impl fmt::Display {
    Name { index, differing }
}

struct Name {
    index: usize,
    differing: u64,
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Name { index, differing } = *self;
        if let Some(name) = index.checked_sub(VMCB).and_then(|more| MORE.get(more)) {
            return f.write_str(name);
        }
        let mut is_first = true;
        for (number, byte) in (index * 8..).zip(differing.to_le_bytes()) {
            let is_within =
                |field: &&vmcb::Field| (field.offset..field.offset + field.bytes).contains(&number);
            let field = vmcb::fields().find(is_within);
            let is_new = |field: &&vmcb::Field| {
                byte != 0
                    && (index * 8..number)
                        .zip(differing.to_le_bytes())
                        .all(|(other, byte)| byte == 0 || other < field.offset)
            };
            if let Some(field) = field.filter(is_new) {
                let area = if index >= SAVE { "save" } else { "control" };
                let comma = if is_first { "" } else { ", " };
                write!(f, "{comma}{area}.{}", field.name)?;
                is_first = false;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::string::ToString;

    use super::*;
    use crate::exits::tests::any_guest;

    #[test]
    fn words_are_named_as_the_manual_names_them() {
        assert_eq!(word_name(0x70 / 8, 1).to_string(), "control.exit_code");
        assert_eq!(word_name(SAVE + 0x178 / 8, 1).to_string(), "save.rip");
        assert_eq!(word_name(VMCB + 1, 1).to_string(), "RCX");
        assert_eq!(
            word_name(1, 0x0000_0001_0000_0001).to_string(),
            "control.intercept_exceptions, control.intercept_misc1"
        );
        assert_eq!(word_name(1 << 40, 1).to_string(), "");
    }

    #[test]
    fn what_is_given_is_what_was_seen_to_change() {
        let mut from = any_guest();
        let before = Words::of(&from);
        from.vcpu.save_mut().rip = 0x1234;
        from.vcpu.set_gpr(3, 7);
        from.vcpu.set_gpr(15, u64::MAX);
        let after = Words::of(&from);
        let text = after.since(&before).to_string();
        let mut to = any_guest();
        let mut seen = Words::of(&to);
        seen.give(&text, &mut to);
        assert_eq!((to.vcpu.save().rip, to.vcpu.gpr(3)), (0x1234, 7));
        assert_eq!(to.vcpu.gpr(15), u64::MAX);
        // Whatever else there is, it does no harm.
        seen.give("zz=1 ffffffffffffffff=1 210=1 211=5 = a=", &mut to);
    }
}
