//! What the ledger says at one moment, and what happened between two.

use std::time::Instant;

use intercepts::{EXITS, SLOTS, slot};
use ledger::{ACCOUNTS, Account, Ledger, NAME_WORDS, State};
use serde::Serialize;

use super::memory::Memory;

/// The ledger at one moment.
#[derive(Clone, Debug, Serialize)]
pub struct Sample {
    /// TSC ticks a second.
    pub tsc_hz: u64,
    /// The VMs.
    pub vms: Vec<Vm>,
    #[serde(skip)]
    at: Option<Instant>,
}

/// One VM.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Vm {
    /// Its name.
    pub name: String,
    /// What it does.
    pub state: &'static str,
    /// How often it was started.
    pub lives: u64,
    /// TSC ticks that it had the CPU.
    pub run_cycles: u64,
    /// Exits that came at all.
    pub exits: Vec<Exit>,
}

/// One exit, in all of a VM's lives.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Exit {
    /// Its name in the vocabulary; [`ledger::OWN_NAME`] for those that serve the VMM alone.
    pub name: &'static str,
    /// How often.
    pub count: u64,
    /// TSC ticks of the VMM.
    pub cycles: u64,
}

/// Numbers of an account, and where each of them stands.
const ACCOUNT_WORDS: usize = size_of::<Account>() / 8;
const STATE: usize = core::mem::offset_of!(Account, state) / 8;
const LIVES: usize = core::mem::offset_of!(Account, lives) / 8;
const RUN_CYCLES: usize = core::mem::offset_of!(Account, run_cycles) / 8;
const TOTALS: usize = core::mem::offset_of!(Account, totals) / 8;

impl Sample {
    /// Reads the ledger at this address; `None`: it is none.
    pub fn take(memory: &Memory, ledger: u64) -> Option<Sample> {
        let [magic, version, vms, tsc_hz] = memory.numbers(ledger)?;
        if (magic, version) != (ledger::MAGIC, ledger::VERSION) {
            return None;
        }
        let count = usize::try_from(vms).ok()?.min(ACCOUNTS);
        let first = ledger + core::mem::offset_of!(Ledger, accounts) as u64;
        let accounts = (0..count as u64).map(|index| first + index * size_of::<Account>() as u64);
        let vms = accounts.filter_map(|account| Vm::take(memory, account));
        Some(Sample {
            tsc_hz,
            vms: vms.collect(),
            at: Some(Instant::now()),
        })
    }

    /// Seconds since an earlier one.
    fn seconds_since(&self, earlier: &Sample) -> f64 {
        match (self.at, earlier.at) {
            (Some(now), Some(then)) => now.saturating_duration_since(then).as_secs_f64(),
            _ => 0.0,
        }
    }
}

impl Vm {
    fn take(memory: &Memory, account: u64) -> Option<Vm> {
        let numbers: [u64; ACCOUNT_WORDS] = memory.numbers(account)?;
        let name: Vec<u8> = numbers[..NAME_WORDS]
            .iter()
            .flat_map(|word| word.to_le_bytes())
            .take_while(|byte| *byte != 0)
            .collect();
        Some(Vm {
            name: String::from_utf8_lossy(&name).into_owned(),
            state: State::from_number(numbers[STATE]).name(),
            lives: numbers[LIVES],
            run_cycles: numbers[RUN_CYCLES],
            exits: match numbers[TOTALS] {
                0 => Vec::new(),
                totals => exits(&memory.numbers(totals)?),
            },
        })
    }
}

/// The exits of a book of totals, without those that never came.
fn exits(totals: &[u64; 2 * SLOTS]) -> Vec<Exit> {
    let known = EXITS
        .iter()
        .map(|exit| (exit.name, slot(exit.code as u64)))
        .chain([(ledger::OWN_NAME, ledger::OWN)]);
    known
        .map(|(name, slot)| Exit {
            name,
            count: totals[2 * usize::from(slot)],
            cycles: totals[2 * usize::from(slot) + 1],
        })
        .filter(|exit| exit.count != 0)
        .collect()
}

/// One line of the view: an exit, between two samples.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Rate {
    /// Its name.
    pub name: &'static str,
    /// How often since the VM was first started.
    pub count: u64,
    /// How often a second.
    pub per_second: f64,
    /// Part of the time that the VMs had the CPU, in percent.
    pub share: f64,
    /// TSC ticks of one, on average.
    pub mean: f64,
}

/// What happened between two samples in these VMs, exit by exit. Without an earlier one, since
/// the VMs began.
pub fn rates(now: &Sample, before: Option<&Sample>, is_shown: impl Fn(&Vm) -> bool) -> Vec<Rate> {
    let mut sums: Vec<(Exit, Exit)> = Vec::new();
    let mut ran = 0u64;
    for vm in now.vms.iter().filter(|vm| is_shown(vm)) {
        let earlier = before.and_then(|before| before.vms.iter().find(|old| old.name == vm.name));
        ran += vm.run_cycles - earlier.map_or(0, |old| old.run_cycles.min(vm.run_cycles));
        for exit in &vm.exits {
            let old = earlier.and_then(|old| old.exits.iter().find(|old| old.name == exit.name));
            let old = old.copied().unwrap_or(Exit {
                count: 0,
                cycles: 0,
                ..*exit
            });
            match sums.iter_mut().find(|(sum, _)| sum.name == exit.name) {
                Some((sum, before)) => {
                    sum.count += exit.count;
                    sum.cycles += exit.cycles;
                    before.count += old.count;
                    before.cycles += old.cycles;
                }
                None => sums.push((*exit, old)),
            }
        }
    }
    let seconds = before.map_or(0.0, |before| now.seconds_since(before));
    let part = |of: u64, whole: f64| if whole > 0.0 { of as f64 / whole } else { 0.0 };
    sums.into_iter()
        .map(|(sum, old)| {
            let count = sum.count.saturating_sub(old.count);
            let cycles = sum.cycles.saturating_sub(old.cycles);
            Rate {
                name: sum.name,
                count: sum.count,
                per_second: part(count, seconds),
                share: 100.0 * part(cycles, ran as f64),
                mean: part(cycles, count as f64),
            }
        })
        .collect()
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// A sample of one VM, so many seconds after the first.
    pub fn sample(after: u64, run_cycles: u64, exits: &[(&'static str, u64, u64)]) -> Sample {
        static START: std::sync::OnceLock<Instant> = std::sync::OnceLock::new();
        let start = *START.get_or_init(Instant::now);
        let exits = exits.iter().map(|(name, count, cycles)| Exit {
            name,
            count: *count,
            cycles: *cycles,
        });
        Sample {
            tsc_hz: 1_000_000_000,
            vms: vec![Vm {
                name: "demo".into(),
                state: "running",
                lives: 1,
                run_cycles,
                exits: exits.collect(),
            }],
            at: Some(start + std::time::Duration::from_secs(after)),
        }
    }

    #[test]
    fn a_rate_is_what_happened_between_two_samples() {
        let before = sample(0, 1000, &[("cpuid", 10, 100)]);
        let now = sample(2, 2000, &[("cpuid", 30, 300), ("hlt", 4, 40)]);
        let rates = rates(&now, Some(&before), |_| true);
        let [cpuid, hlt] = &rates[..] else {
            panic!("{rates:?}")
        };
        assert_eq!((cpuid.count, cpuid.per_second), (30, 10.0));
        assert_eq!((cpuid.share, cpuid.mean), (20.0, 10.0));
        assert_eq!((hlt.count, hlt.per_second), (4, 2.0));
    }

    #[test]
    fn only_the_vms_that_are_shown_count() {
        let now = sample(1, 10, &[("cpuid", 1, 1)]);
        assert_eq!(rates(&now, None, |_| false), []);
        assert_eq!(rates(&now, None, |vm| vm.name == "demo").len(), 1);
    }

    /// A ledger as the VMM would have it, in a file at 8 KiB.
    #[test]
    fn the_ledger_is_found_and_read_from_outside() {
        use std::os::unix::fs::FileExt;
        let file = tempfile::NamedTempFile::new().expect("a file");
        file.as_file().set_len(64 << 10).expect("room");
        let put = |address: usize, number: u64| {
            let bytes = number.to_le_bytes();
            file.as_file()
                .write_all_at(&bytes, address as u64)
                .expect("a number");
        };
        let ledger = 0x2000;
        for (index, number) in [ledger::MAGIC, ledger::VERSION, 1, 3_000_000_000]
            .into_iter()
            .enumerate()
        {
            put(ledger + 8 * index, number);
        }
        let account = ledger + core::mem::offset_of!(Ledger, accounts);
        put(account, u64::from_le_bytes(*b"demo\0\0\0\0"));
        put(account + 8 * STATE, 2);
        put(account + 8 * LIVES, 3);
        put(account + 8 * RUN_CYCLES, 77);
        put(account + 8 * TOTALS, 0x8000);
        put(0x8000 + 0x72 * 16, 5);
        put(0x8000 + 0x72 * 16 + 8, 500);
        let memory = Memory::open(file.path()).expect("the file");
        assert_eq!(memory.find_ledger(), Some(ledger as u64));
        let sample = Sample::take(&memory, ledger as u64).expect("a sample");
        assert_eq!(sample.tsc_hz, 3_000_000_000);
        let vm = &sample.vms[0];
        assert_eq!(
            (vm.name.as_str(), vm.state, vm.lives),
            ("demo", "waiting", 3)
        );
        assert_eq!(vm.run_cycles, 77);
        let exit = vm.exits[0];
        assert_eq!((exit.name, exit.count, exit.cycles), ("cpuid", 5, 500));
        put(ledger + 8, 99);
        assert!(Sample::take(&memory, ledger as u64).is_none());
    }
}
