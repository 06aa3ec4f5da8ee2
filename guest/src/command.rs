//! What a person may type at the prompt.

/// A command, its arguments read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Command {
    /// List the commands.
    Help,
    /// Show the timer's count.
    Ticks,
    /// Show what memory there is and what is taken.
    Mem,
    /// Show what CPUID tells.
    Cpuid,
    /// Cause a page fault and survive it.
    Fault,
    /// Divide by zero and survive it.
    DivZero,
    /// Run every instruction of the exercise.
    Exercise,
    /// Show what the kernel can do.
    Demo,
    /// Time single instructions.
    Bench,
    /// Walk through paging at random.
    Stress,
    /// Run a kernel's instructions in ring 3.
    Sensitive,
    /// Clear the screen.
    Clear,
    /// Read a port's byte.
    In {
        /// The port.
        port: u16,
    },
    /// Write a port's byte.
    Out {
        /// The port.
        port: u16,
        /// What to write.
        value: u8,
    },
    /// Read 32 bits of physical memory.
    Peek {
        /// A multiple of 4.
        address: u32,
    },
    /// Write 32 bits of physical memory.
    Poke {
        /// A multiple of 4.
        address: u32,
        /// What to write.
        value: u32,
    },
    /// Run the code at a physical address.
    Jump {
        /// The address.
        address: u32,
    },
    /// Stop with interrupts off.
    Halt,
    /// Loop for ever with interrupts off.
    Spin,
    /// Shut the processor down by a triple fault.
    Triple,
    /// Power the machine off.
    PowerOff,
}

/// Why a line is no command.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Misunderstood<'a> {
    /// There is no such command.
    Unknown {
        /// What was typed.
        name: &'a str,
        /// The command that is spelled almost so, if there is one.
        nearest: Option<&'static str>,
    },
    /// The command needs other arguments: these.
    Usage(&'static str),
}

/// What `help` lists: how each command is typed, and what it does.
pub const HELP: &[(&str, &str)] = &[
    ("help", "this list"),
    ("ticks", "the timer's count"),
    ("mem", "the memory map, frames, and the kernel's own memory"),
    ("cpuid", "what CPUID tells"),
    ("fault", "cause a page fault and survive it"),
    ("divzero", "divide by zero and survive it"),
    ("exercise", "run every instruction of the exercise"),
    ("demo", "show what this kernel can do"),
    ("bench", "time single instructions"),
    ("stress", "walk through paging at random, and compare"),
    ("sensitive", "run a kernel's instructions in ring 3"),
    ("clear", "clear the screen"),
    ("in PORT", "read a port's byte"),
    ("out PORT VALUE", "write a port's byte"),
    ("peek ADDRESS", "read 32 bits of physical memory"),
    ("poke ADDRESS VALUE", "write 32 bits of physical memory"),
    ("jump ADDRESS", "run the code at a physical address"),
    ("halt", "stop with interrupts off"),
    ("spin", "loop for ever with interrupts off"),
    ("triple", "shut the processor down by a triple fault"),
    ("poweroff", "power the machine off"),
];

/// Reads a line; `None` if it is empty. Numbers are hexadecimal, `0x` or not.
pub fn parse(line: &str) -> Option<Result<Command, Misunderstood<'_>>> {
    let mut words = line.split_ascii_whitespace();
    let name = words.next()?;
    let arguments = [words.next(), words.next()];
    let extra = words.next().is_some();
    let Some((usage, _)) = HELP
        .iter()
        .find(|(usage, _)| usage.split(' ').next() == Some(name))
    else {
        return Some(Err(Misunderstood::Unknown {
            name,
            nearest: nearest(name),
        }));
    };
    let command = if extra { None } else { read(name, arguments) };
    Some(command.ok_or(Misunderstood::Usage(usage)))
}

/// The command of this name with these arguments, if they fit it.
fn read(name: &str, arguments: [Option<&str>; 2]) -> Option<Command> {
    let numbers = arguments.map(|argument| argument.map(number));
    let command = match (name, numbers) {
        ("help", [None, None]) => Command::Help,
        ("ticks", [None, None]) => Command::Ticks,
        ("mem", [None, None]) => Command::Mem,
        ("cpuid", [None, None]) => Command::Cpuid,
        ("fault", [None, None]) => Command::Fault,
        ("divzero", [None, None]) => Command::DivZero,
        ("exercise", [None, None]) => Command::Exercise,
        ("demo", [None, None]) => Command::Demo,
        ("bench", [None, None]) => Command::Bench,
        ("stress", [None, None]) => Command::Stress,
        ("sensitive", [None, None]) => Command::Sensitive,
        ("clear", [None, None]) => Command::Clear,
        ("halt", [None, None]) => Command::Halt,
        ("spin", [None, None]) => Command::Spin,
        ("triple", [None, None]) => Command::Triple,
        ("poweroff", [None, None]) => Command::PowerOff,
        ("in", [Some(port), None]) => Command::In {
            port: port?.try_into().ok()?,
        },
        ("out", [Some(port), Some(value)]) => Command::Out {
            port: port?.try_into().ok()?,
            value: value?.try_into().ok()?,
        },
        ("peek", [Some(address), None]) => Command::Peek {
            address: aligned(address?)?,
        },
        ("poke", [Some(address), Some(value)]) => Command::Poke {
            address: aligned(address?)?,
            value: value?,
        },
        ("jump", [Some(address), None]) => Command::Jump { address: address? },
        _ => return None,
    };
    Some(command)
}

/// The command whose name is nearest to `typed`, if it is near enough to be meant.
fn nearest(typed: &str) -> Option<&'static str> {
    HELP.iter()
        .filter_map(|(usage, _)| usage.split(' ').next())
        .map(|name| (difference(name.as_bytes(), typed.as_bytes()), name))
        .min()
        .filter(|(difference, name)| *difference <= 2 && *difference < name.len())
        .map(|(_, name)| name)
}

/// How many letters differ once what the words share at both ends is left out.
fn difference(a: &[u8], b: &[u8]) -> usize {
    let shared = |a: &mut dyn Iterator<Item = &u8>, b: &mut dyn Iterator<Item = &u8>| {
        a.zip(b).take_while(|(a, b)| a == b).count()
    };
    let start = shared(&mut a.iter(), &mut b.iter());
    let (a, b) = (&a[start..], &b[start..]);
    let end = shared(&mut a.iter().rev(), &mut b.iter().rev());
    a.len().max(b.len()) - end
}

/// A hexadecimal number, with or without `0x` before it.
fn number(word: &str) -> Option<u32> {
    let digits = word.strip_prefix("0x").unwrap_or(word);
    let plain = digits.bytes().all(|byte| byte.is_ascii_hexdigit());
    u32::from_str_radix(digits, 16).ok().filter(|_| plain)
}

fn aligned(address: u32) -> Option<u32> {
    address.is_multiple_of(4).then_some(address)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn every_command_of_the_list_is_understood_as_it_is_listed() {
        for (usage, _) in HELP {
            let line = usage
                .replace("ADDRESS", "0x1000")
                .replace("PORT", "80")
                .replace("VALUE", "ff");
            assert!(matches!(parse(&line), Some(Ok(_))), "{line}");
        }
    }

    #[test]
    fn numbers_are_hexadecimal_with_or_without_a_prefix() {
        assert_eq!(parse("in 3f8"), Some(Ok(Command::In { port: 0x3f8 })));
        assert_eq!(
            parse(" peek  0xB8000 "),
            Some(Ok(Command::Peek { address: 0xb8000 }))
        );
    }

    #[test]
    fn a_wrong_argument_is_answered_with_the_usage() {
        for line in ["in", "in 10000", "in 3f8 1", "in +3", "in 0x"] {
            assert_eq!(
                parse(line),
                Some(Err(Misunderstood::Usage("in PORT"))),
                "{line}"
            );
        }
        let usage = Misunderstood::Usage("poke ADDRESS VALUE");
        for line in ["poke 1001 1", "poke 1000", "poke 1000 1 1", "poke x 1"] {
            assert_eq!(parse(line), Some(Err(usage)), "{line}");
        }
        assert_eq!(parse("halt now"), Some(Err(Misunderstood::Usage("halt"))));
    }

    #[test]
    fn an_unknown_command_is_named_and_an_empty_line_is_none() {
        let unknown = Misunderstood::Unknown {
            name: "frobnicate",
            nearest: None,
        };
        assert_eq!(parse("frobnicate me"), Some(Err(unknown)));
        assert_eq!(parse("  "), None);
    }

    #[test]
    fn a_slip_of_the_finger_is_answered_with_what_was_meant() {
        for (typed, meant) in [
            ("hlep", "help"),
            ("tick", "ticks"),
            ("reboot", ""),
            ("exercize", "exercise"),
            ("ix", "in"),
        ] {
            let nearest = Some(meant).filter(|meant| !meant.is_empty());
            let unknown = Misunderstood::Unknown {
                name: typed,
                nearest,
            };
            assert_eq!(parse(typed), Some(Err(unknown)));
        }
    }

    proptest! {
        #[test]
        fn any_line_is_answered(line in "[ -~]{0,72}") {
            prop_assert_eq!(parse(&line).is_none(), line.trim().is_empty());
        }
    }
}
