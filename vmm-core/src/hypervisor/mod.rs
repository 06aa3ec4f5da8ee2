//! The VMM's main loop: enable SVM, make the VMs, and give each its turns until all have ended.
//!
//! Between two turns the VMM takes the machine's interrupts, sees to the VMs that something has
//! happened to, paints the screen, and decides who runs next. APM 15.4, 15.5, 15.17.

mod accounts;
mod console;
mod ends;
mod files;
mod guest;
mod measure;
mod news;
mod routes;
mod screen;
mod start;
mod traces;
mod turn;

use core::arch::x86_64::__cpuid_count;
use intercepts::vmcb::registers::efer;

use heapless::Vec;
use intercepts::vmcb::Vmcb;
use ledger::Ledger;

use crate::addr::Hpa;
use crate::console::{Chord, Keys};
use crate::devices::UnixTime;
use crate::host::canary::Canary;
use crate::host::ending;
use crate::host::irq::{self, Held};
use crate::host::log::{self, Level};
use crate::host::{Machine, rtc, tsc};
use crate::policy::{LogLevel, Policy};
use crate::sched::{MAX_VMS, Scheduler, Sleepers, VmSet};
use crate::svm::features::{self, Svm};
use crate::svm::instructions::{self, FxImage, clgi, vmsave};
use crate::vm::create::{book, piece};
use crate::vm::marker::Marker;
use guest::{Guest, Life};
use routes::Routes;

/// The screen is painted every so many ns: 25 times a second.
const FRAME_NS: u64 = 40_000_000;
/// A guest that has run for so many ns without going on with the line that it sends has said
/// what it had to say: a prompt, or the echo of a key.
const LINE_NS: u64 = 2_000_000;
/// After so many ns a guest has left an interrupt shadow.
const RETRY_NS: u64 = 5_000;

/// Runs the policy on this machine. `images` holds each VM's linked image, if it has one.
pub fn run(
    policy: &'static Policy,
    images: &'static [Option<&'static [u8]>],
    machine: Machine,
) -> ! {
    log::set_level(match policy.log {
        LogLevel::Error => Level::Error,
        LogLevel::Warn => Level::Warn,
        LogLevel::Info => Level::Info,
        LogLevel::Debug => Level::Debug,
    });
    let svm = match features::detect(cpuid, read_vm_cr) {
        Ok(svm) => svm.limited_to(policy.offers),
        Err(why) => ending::refused(why),
    };
    for vm in policy.vms {
        start::check_needs(vm, &svm);
    }
    let mut hypervisor = Hypervisor::new(policy, svm, machine);
    hypervisor.create_vms(images);
    hypervisor.hello();
    hypervisor.obey_command_line();
    hypervisor.run()
}

const EFER: u32 = intercepts::Msr::EFER.number;
const EFER_SVME: u64 = efer::SVME;
const VM_CR: u32 = intercepts::Msr::VM_CR.number;
const VM_HSAVE_PA: u32 = intercepts::Msr::VM_HSAVE_PA.number;

/// VM_CR, on a CPU with SVM. Not inlined: a test answers for it with a debugger.
#[inline(never)]
fn read_vm_cr() -> u64 {
    instructions::rdmsr(VM_CR)
}

fn cpuid(leaf: u32) -> [u32; 4] {
    let answer = __cpuid_count(leaf, 0);
    [answer.eax, answer.ebx, answer.ecx, answer.edx]
}

/// How long a VM runs while others wait.
fn quantum_ns(policy: &Policy) -> u64 {
    u64::from(policy.quantum_us) * 1000
}

struct Hypervisor {
    policy: &'static Policy,
    svm: Svm,
    machine: Machine,
    /// Free memory before the VMs were made, in bytes.
    free_at_first: u64,
    /// The drill of isolation, if one is on.
    canary: Option<Canary>,
    host_state: Hpa,
    ledger: &'static Ledger,
    guests: Vec<&'static mut Guest, MAX_VMS>,
    scheduler: Scheduler,
    /// The VMs that sleep, by when they wake: ns of [`Self::now`].
    sleepers: Sleepers,
    /// The VMs that something has happened to since they were last seen to.
    news: VmSet,
    /// The VMs that are on.
    on: VmSet,
    /// Whose turn it was last, and since when, until that is charged.
    turn: Option<(usize, u64)>,
    /// Whose state is in the CPU.
    loaded: Option<usize>,
    /// Whose screen and keyboard the person has.
    focus: usize,
    keys: Keys,
    chord: Chord,
    /// Who has been typed to, and has had no turn since.
    typed_to: Option<usize>,
    quit: bool,
    /// Every exit is sent on, and not only the last ones of a VM that ends.
    streams: bool,
    /// The text of a guest at which the run ends.
    marker: Option<Marker>,
    routes: Routes,
    /// When the current turn ends, and when the screen is painted next: ns of [`Self::now`].
    turn_ends: u64,
    paint_at: u64,
    /// When the host timer will interrupt.
    armed: Option<u64>,
    started: u64,
    /// The date when the VMM began to run VMs.
    wall: UnixTime,
}

impl Hypervisor {
    /// Enables SVM. From here on GIF is 0, and IF 1, except in a window.
    fn new(policy: &'static Policy, svm: Svm, mut machine: Machine) -> Hypervisor {
        let no_memory = || -> ! { ending::refused("no memory left for the VMM's host state") };
        let frames = &mut machine.frames;
        let free_at_first = frames.free_bytes();
        let Some((_, host_save)) = piece(frames, Vmcb::zeroed()) else {
            no_memory()
        };
        let Some((_, host_state)) = piece(frames, Vmcb::zeroed()) else {
            no_memory()
        };
        let Some(ledger) = book::<Ledger>(frames) else {
            no_memory()
        };
        ledger.tsc_hz.set(machine.tsc.hz());
        instructions::wrmsr(EFER, instructions::rdmsr(EFER) | EFER_SVME);
        instructions::wrmsr(VM_HSAVE_PA, host_save.0);
        // SAFETY: SVM has just been enabled, and `host_state` is a VMCB of the VMM's own.
        unsafe {
            vmsave(host_state);
            clgi();
        }
        FxImage::enable();
        let quantum_ticks = machine.tsc.ticks(quantum_ns(policy));
        let routes = Routes::open(policy.routes, &mut *irq::controller());
        Hypervisor {
            policy,
            svm,
            free_at_first,
            canary: None,
            host_state,
            ledger,
            guests: Vec::new(),
            scheduler: Scheduler::new(quantum_ticks, policy.vms.iter().map(|vm| vm.weight)),
            sleepers: Sleepers::default(),
            news: VmSet::NONE,
            on: VmSet::NONE,
            turn: None,
            loaded: None,
            focus: policy.vms.iter().position(|vm| vm.autostart).unwrap_or(0),
            keys: Keys::default(),
            chord: Chord::default(),
            typed_to: None,
            quit: false,
            streams: false,
            marker: None,
            routes,
            turn_ends: 0,
            paint_at: 0,
            armed: None,
            started: tsc::now(),
            wall: rtc::now(),
            machine,
        }
    }

    /// Ns since the VMM began to run VMs.
    fn now(&self) -> u64 {
        self.machine.tsc.ns(tsc::now().wrapping_sub(self.started))
    }

    fn run(&mut self) -> ! {
        let began = tsc::now();
        loop {
            let now = self.look_around();
            if now >= self.paint_at {
                self.charge();
                self.paint();
                self.paint_at = now + FRAME_NS;
            }
            // Whoever is at the console may yet start one.
            if self.quit || self.on.is_empty() && !self.keys.is_open() {
                self.finish(tsc::now().wrapping_sub(began));
            }
            match self.next_turn(now) {
                Some(index) => self.turn(index),
                None => self.sleep(now),
            }
            // Before anything that comes over the machine's lines: who reads that the run is to end
            // may say so too.
            if self.quit {
                self.finish(tsc::now().wrapping_sub(began));
            }
        }
    }

    /// Takes the machine's interrupts and sees to the VMs that something has happened to. Returns
    /// the time.
    fn look_around(&mut self) -> u64 {
        let lines = irq::window(Held::ByGif);
        self.serve(lines);
        let now = self.now();
        self.see_to_news(now);
        now
    }

    /// Decides whose turn is next, and arms the timer for it.
    fn next_turn(&mut self, now: u64) -> Option<usize> {
        self.charge();
        let stay = now < self.turn_ends;
        let (next, turn) = self.scheduler.pick(self.typed_to, stay)?;
        if self.typed_to == Some(next) {
            self.typed_to = None;
        }
        if let Some(length) = turn.length(quantum_ns(self.policy)) {
            self.turn_ends = now + length;
        }
        self.arm(now, next);
        Some(next)
    }

    /// Nobody can run: waits for the machine.
    fn sleep(&mut self, now: u64) {
        self.unload();
        self.arm_for(now, self.sleepers.next());
        let lines = irq::wait(Held::ByGif);
        self.serve(lines);
    }
}
