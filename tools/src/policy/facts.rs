//! Everything that has a name or number in a policy, with a text on it, from the vocabulary
//! and from the tables of the policy language.

use std::sync::LazyLock;

use intercepts::{
    Action, CPUID_FEATURES, EXITS, Exit, FEATURES, Finish, Intercept, MSRS, Register, VECTORS, vmcb,
};
use vmm_config::Severity;
use vmm_config::machine::MACHINES;
use vmm_config::ports::{DEVICE_PORTS, HOST_PORTS};
use vmm_config::rules::RULES;
use vmm_config::words::{
    Counters, Device, Flush, Halted, IoAction, LogLevel, MsrAction, Test, Then, Word,
};

use crate::reference::rows::{owner, rip};

/// Something that can be explained.
#[derive(Debug)]
pub struct Fact {
    /// Its names, in lower case.
    pub names: Vec<String>,
    /// Its numbers, first to last, if it has some.
    numbers: Option<(u64, u64)>,
    /// What there is to say.
    pub text: String,
}

impl Fact {
    fn new(names: &[&str], numbers: Option<(u64, u64)>, title: &str, lines: &[String]) -> Fact {
        let mut text = format!("{title}\n");
        for line in lines {
            text.push_str(&format!("    {line}\n"));
        }
        Fact {
            names: names.iter().map(|name| name.to_lowercase()).collect(),
            numbers,
            text,
        }
    }

    /// Whether a name or number means this.
    pub fn is(&self, what: &str) -> bool {
        let lower = what.to_lowercase();
        self.names.contains(&lower)
            || number(&lower).is_some_and(|number| {
                self.numbers
                    .is_some_and(|(first, last)| (first..=last).contains(&number))
            })
    }
}

/// `0x72`, `72h` or `114`, and `-1` as the manual counts what VMRUN itself refuses.
fn number(text: &str) -> Option<u64> {
    let hex = text.strip_prefix("0x").or(text.strip_suffix('h'));
    match hex {
        Some(digits) => u64::from_str_radix(&digits.replace('_', ""), 16).ok(),
        None => text
            .parse()
            .or_else(|_| text.parse().map(i64::cast_unsigned))
            .ok(),
    }
}

/// Every fact.
pub fn all() -> &'static [Fact] {
    static ALL: LazyLock<Vec<Fact>> = LazyLock::new(|| {
        let mut facts: Vec<Fact> = EXITS.iter().map(exit).collect();
        facts.extend(fields());
        facts.extend(numbers());
        facts.extend(features());
        facts.extend(words());
        facts.extend(rules());
        facts
    });
    &ALL
}

fn exit(exit: &Exit) -> Fact {
    let code = exit.code as u64;
    let cause = match exit.intercept {
        Intercept::Bit { offset, bit } => format!("VMCB {offset:03X}h bit {bit}"),
        Intercept::NestedPaging => "nested paging".to_owned(),
        Intercept::Avic => "AVIC".to_owned(),
        Intercept::EncryptedState => "encrypted guest state".to_owned(),
        Intercept::Vmrun => "VMRUN itself".to_owned(),
    };
    let fitting: Vec<_> = Action::ALL
        .into_iter()
        .filter(|action| exit.accepts(*action))
        .map(Action::name)
        .collect();
    let mut lines = vec![
        format!("when       {}", exit.trigger),
        format!("cause      {cause}"),
        format!("info 1     {}", exit.info1),
        format!("info 2     {}", exit.info2),
        format!("actions    {}", fitting.join(", ")),
        format!("unasked    {}", exit.default.name()),
        format!("count by   {}", finish(exit.finish)),
        format!("RIP        {}", rip(exit)),
        format!("belongs to {}", owner(exit.owner)),
        format!("manual     APM volume 2, {}", exit.section),
    ];
    if let Some(feature) = exit.feature {
        lines.insert(
            2,
            format!("needs      {} ({})", feature.name, feature.meaning),
        );
    }
    let title = format!("{}: exit {code:#x}, {}", exit.name, exit.apm);
    let vector = code
        .checked_sub(0x40)
        .and_then(|index| VECTORS.get(index as usize));
    let mnemonic = vector.map_or("", |(_, mnemonic)| mnemonic);
    Fact::new(
        &[exit.name, exit.apm, mnemonic],
        Some((code, code)),
        &title,
        &lines,
    )
}

fn finish(finish: Finish) -> &'static str {
    match finish {
        Finish::Emulate => "the VMM's emulation",
        Finish::Reflect => "delivering the exception",
        Finish::SoftwareInterrupt => "injecting the software interrupt",
        Finish::Step => "a single step of the guest with the intercept off",
        Finish::None => "nothing: it cannot be counted",
    }
}

fn fields() -> impl Iterator<Item = Fact> {
    vmcb::fields().map(|field| {
        let (first, last) = (field.offset, field.offset + field.bytes - 1);
        let title = format!("{}: VMCB field, {first:03X}h-{last:03X}h", field.name);
        let mut lines = vec![
            field.meaning.to_owned(),
            format!("written by {}", field.flow.written_by()),
            format!("read by    {}", field.flow.read_by()),
        ];
        lines.extend(field.demands().map(|rule| format!("VMRUN      {rule}")));
        lines.extend(field.named_bits().map(|bits| {
            let place = if bits.high == bits.low {
                bits.low.to_string()
            } else {
                format!("{}:{}", bits.high, bits.low)
            };
            format!("{place:>7}    {}: {}", bits.name, bits.meaning)
        }));
        Fact::new(&[field.name], None, &title, &lines)
    })
}

/// MSRs and ports.
fn numbers() -> impl Iterator<Item = Fact> {
    let msrs = MSRS.iter().map(|msr| {
        let number = u64::from(msr.number);
        let lines = [
            msr.meaning.to_owned(),
            format!("switched by {:?}", msr.carrier).to_lowercase(),
        ];
        let title = format!("{}: MSR {number:#x}", msr.name);
        Fact::new(&[msr.name], Some((number, number)), &title, &lines)
    });
    let ports = |(first, last): (u16, u16), whose: String| {
        let title = format!("ports {first:#x}-{last:#x}");
        Fact::new(&[], Some((first.into(), last.into())), &title, &[whose])
    };
    let devices = DEVICE_PORTS.iter().flat_map(move |(device, ranges)| {
        let whose = format!("of the device `{}`, for a VM that has it", device.name());
        ranges.iter().map(move |range| ports(*range, whose.clone()))
    });
    let host = HOST_PORTS
        .iter()
        .map(move |(range, what)| ports(*range, format!("no guest reaches them: {what}")));
    msrs.chain(devices).chain(host)
}

/// What CPUID announces, of the host and to the guest.
fn features() -> impl Iterator<Item = Fact> {
    let place = |leaf: u32, subleaf: u32, register: Register, bit: u8| {
        let register = format!("{register:?}").to_uppercase();
        format!("CPUID {leaf:#x}.{subleaf} {register} bit {bit}")
    };
    let host = FEATURES.iter().map(move |feature| {
        let machines: Vec<_> = MACHINES
            .iter()
            .filter(|machine| machine.has(*feature))
            .map(|machine| machine.name)
            .collect();
        let title = format!("{}: feature of the host's CPU", feature.name);
        let lines = [
            feature.meaning.to_owned(),
            place(feature.leaf, feature.subleaf, feature.register, feature.bit),
            format!("targets that have it: {}", machines.join(", ")),
        ];
        Fact::new(&[feature.name], None, &title, &lines)
    });
    let guest = CPUID_FEATURES.iter().map(move |feature| {
        let title = format!("{}: feature that `[vm.cpuid]` hides or shows", feature.name);
        let lines = [
            feature.meaning.to_owned(),
            place(feature.leaf, feature.subleaf, feature.register, feature.bit),
        ];
        Fact::new(&[feature.name], None, &title, &lines)
    });
    host.chain(guest)
}

fn words() -> impl Iterator<Item = Fact> {
    let actions = Action::ALL.into_iter().map(|action| {
        let title = format!("{}: action on an exit", action.name());
        Fact::new(
            &[action.name()],
            None,
            &title,
            &[action.meaning().to_owned()],
        )
    });
    let machines = MACHINES.iter().map(|machine| {
        let title = format!("{}: target machine", machine.name);
        let lines = [
            machine.meaning.to_owned(),
            format!("{} ASIDs", machine.asids),
        ];
        Fact::new(&[machine.name], None, &title, &lines)
    });
    actions
        .chain(machines)
        .chain(choice::<Device>())
        .chain(choice::<IoAction>())
        .chain(choice::<MsrAction>())
        .chain(choice::<Test>())
        .chain(choice::<Then>())
        .chain(choice::<Flush>())
        .chain(choice::<Halted>())
        .chain(choice::<Counters>())
        .chain(choice::<LogLevel>())
}

fn choice<W: Word>() -> impl Iterator<Item = Fact> {
    W::ALL.iter().map(|word| {
        let title = format!("{}: {}", word.name(), W::WHAT);
        Fact::new(&[word.name()], None, &title, &[word.meaning().to_owned()])
    })
}

fn rules() -> impl Iterator<Item = Fact> {
    RULES.iter().map(|rule| {
        let refused = match rule.severity {
            Severity::Error => "a policy that breaks it is refused",
            Severity::Warning => "breaking it is a warning",
        };
        let mut lines = vec![rule.demands.to_owned(), refused.to_owned()];
        lines.extend(
            rule.section
                .map(|section| format!("APM volume 2, {section}")),
        );
        let title = format!("{}: rule of the policy language", rule.name);
        Fact::new(&[rule.name], None, &title, &lines)
    })
}
