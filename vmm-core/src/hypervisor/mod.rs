//! The VMM's main loop: enable SVM, make the VMs, and give each its turns until all have ended.
//!
//! Between two turns the VMM takes the machine's interrupts, brings every VM's timers up to
//! date, paints the screen, and decides who runs next. APM 15.4, 15.5, 15.17.

mod accounts;
mod console;
mod ends;
mod files;
mod guest;
mod routes;
mod start;
mod traces;

use core::arch::x86_64::__cpuid_count;
use intercepts::vmcb::registers::efer;

use heapless::Vec;
use intercepts::ExitCode;
use intercepts::vmcb::Vmcb;
use ledger::Ledger;

use crate::addr::{Gpa, Hpa};
use crate::console::{Chord, Keys};
use crate::devices::{DeviceSet, UnixTime};
use crate::exits::interrupt;
use crate::host::canary::Canary;
use crate::host::ending;
use crate::host::irq::{self, Held, LineSet};
use crate::host::log::{self, Level};
use crate::host::screen::{CELLS, Cell, SCREEN};
use crate::host::serial::COM1;
use crate::host::{Machine, rtc, tsc};
use crate::policy::{LogLevel, Policy};
use crate::sched::{MAX_VMS, Scheduler};
use crate::svm::features::{self, Svm};
use crate::svm::instructions::{self, FxImage, clgi, vmload, vmsave};
use crate::svm::switch;
use crate::vm::create::{book, piece};
use crate::vm::marker::Marker;
use crate::vm::{Instance, refusal};
use crate::warn;
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
        Ok(svm) => svm,
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
            scheduler: Scheduler::new(quantum_ticks),
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

    fn run(mut self) -> ! {
        let began = tsc::now();
        loop {
            let lines = irq::window(Held::ByGif);
            self.serve(lines);
            let now = self.now();
            self.bring_up_to_date();
            if now >= self.paint_at {
                self.paint();
                self.paint_at = now + FRAME_NS;
            }
            self.see_to_ends();
            self.keep_accounts();
            let all_off = self.guests.iter().all(|guest| guest.life.is_none());
            // Whoever is at the console may yet start one.
            if self.quit || all_off && !self.keys.is_open() {
                self.finish(tsc::now().wrapping_sub(began));
            }
            self.charge();
            let stay = now < self.turn_ends;
            let guests = &self.guests;
            let last = self.scheduler.last();
            let hurry = self.typed_to;
            let next = self.scheduler.pick(guests.len(), hurry, stay, |index| {
                guests[index].is_runnable()
            });
            match next {
                Some(index) => {
                    if hurry == next {
                        self.typed_to = None;
                    }
                    if last != next || !stay {
                        self.turn_ends = now + quantum_ns(self.policy);
                    }
                    self.arm(now, next);
                    self.turn(index);
                }
                None => {
                    self.unload();
                    self.arm(now, None);
                    let lines = irq::wait(Held::ByGif);
                    self.serve(lines);
                }
            }
        }
    }

    /// Charges who had the last turn for all the time that has passed since, what the VMM did
    /// between the turns included: a VM that keeps it busy pays for that.
    fn charge(&mut self) {
        if let Some((index, began)) = self.turn.take() {
            let ticks = tsc::now().wrapping_sub(began);
            let weight = self.guests[index].policy.weight;
            self.scheduler.charge(index, ticks, weight);
        }
    }

    /// Lets a VM run until an exit wants the VMM.
    fn turn(&mut self, index: usize) {
        self.turn = Some((index, tsc::now()));
        self.load(index);
        let guest = &mut *self.guests[index];
        guest.begin_turn();
        let Some(life) = &mut guest.life else {
            return;
        };
        let instance = &mut life.instance;
        let Instance { vcpu, vm } = instance;
        vm.retry_soon = false;
        vcpu.forget_code_page();
        interrupt::offer(vcpu, vm);
        if vm.retry_soon {
            self.machine.timer.arm(RETRY_NS);
            self.armed = None;
        }
        life.entered.remember(&instance.vcpu);
        let started = tsc::now();
        // SAFETY: SVM is enabled with a host save area, GIF is 0 and IF 1 since `new`; the
        // instance is loaded, which also put aside the gates with IST; its VMCB passed
        // `validate`.
        unsafe { switch::run(instance) };
        let ticks = tsc::now().wrapping_sub(started);
        // QUIRK: QEMU 7.2 writes VMEXIT_INVALID as 32 bits.
        if instance.vcpu.control().exit_code as u32 == ExitCode::Invalid as u64 as u32 {
            let max_physical = self.svm.max_physical;
            let name = instance.vm.policy.name;
            refusal::tell_refused(name, &instance.vcpu, &life.entered, max_physical);
        }
        instance.vm.stats.run_cycles += ticks;
        self.quit |= instance.vm.is_marked;
        let retry_soon = instance.vm.retry_soon;
        let is_full = instance.vm.stats.is_full();
        self.guests[index].account.run_cycles.add(ticks);
        if is_full {
            self.stream(index);
        }
        if retry_soon {
            self.machine.timer.arm(RETRY_NS);
            self.armed = None;
        }
    }

    /// Puts a VM's vCPU into the CPU, if it is not there already.
    fn load(&mut self, index: usize) {
        if self.loaded == Some(index) {
            return;
        }
        self.store_loaded();
        self.machine.cpu.use_ist(false);
        let Some(life) = &self.guests[index].life else {
            return;
        };
        life.fpu.restore();
        life.debug.load();
        life.tsc_aux.load();
        // SAFETY: the address is that of the vCPU's VMCB, and no gate uses IST any more.
        unsafe { vmload(life.instance.vcpu.vmcb_pa()) };
        self.loaded = Some(index);
    }

    /// Takes the vCPU that is in the CPU out of it; the host's own state comes back.
    fn unload(&mut self) {
        if self.loaded.is_none() {
            return;
        }
        self.store_loaded();
        // SAFETY: `host_state` holds what VMSAVE stored when the VMM began.
        unsafe { vmload(self.host_state) };
        self.machine.cpu.use_ist(true);
    }

    fn store_loaded(&mut self) {
        let loaded = self.loaded.take();
        let guest = loaded.and_then(|index| self.guests.get_mut(index));
        if let Some(life) = guest.and_then(|guest| guest.life.as_mut()) {
            life.fpu.save();
            life.debug.store();
            life.tsc_aux.store();
            // SAFETY: the address is that of the vCPU's VMCB.
            unsafe { vmsave(life.instance.vcpu.vmcb_pa()) };
        }
    }

    /// Passes on what came over the machine's interrupt lines.
    fn serve(&mut self, lines: LineSet) {
        if lines.contains(irq::TIMER) {
            self.armed = None;
        }
        if lines.contains(irq::KEYBOARD) {
            while let Some(byte) = self.machine.keyboard.read() {
                self.pressed(byte);
            }
        }
        if lines.contains(irq::COM1) {
            loop {
                let Some(byte) = COM1.lock().read() else {
                    break;
                };
                self.typed(byte);
            }
        }
        for guest in &mut self.guests {
            guest.give_input();
        }
        let focus = self.focus;
        self.routes
            .serve(lines, focus, &mut self.guests, &mut *irq::controller());
        if irq::take_nmi() {
            warn!(
                "a non-maskable interrupt: the machine reports a fault, or somebody pressed its button"
            );
        }
    }

    /// Moves every VM's timers to its own time, wakes those that an interrupt waits for, and
    /// sends what those have said that say no more.
    fn bring_up_to_date(&mut self) {
        let patience = self.machine.tsc.ticks(LINE_NS);
        for guest in &mut self.guests {
            if let Some(vm) = guest.vm() {
                vm.send_resting_line(patience);
            }
            if let Some(vm) = guest.vm().filter(|vm| !vm.paused) {
                vm.devices.advance(vm.clock.now());
                vm.wake();
            }
        }
    }

    /// Arms the host timer for the next thing that is due: a VM's timer, the end of the turn
    /// of `running` if others wait for theirs, the next frame.
    fn arm(&mut self, now: u64, running: Option<usize>) {
        let mut due = self.paint_at;
        let mut contended = false;
        for (index, guest) in self.guests.iter().enumerate() {
            let Some(life) = guest.life.as_ref() else {
                continue;
            };
            let vm = &life.instance.vm;
            if vm.paused {
                continue;
            }
            if Some(index) == running {
                if !vm.line.is_empty() {
                    due = due.min(now + LINE_NS);
                }
            } else {
                contended |= vm.is_runnable();
            }
            if let Some(deadline) = vm.devices.next_deadline() {
                due = due.min(now + deadline.0.saturating_sub(vm.clock.now().0));
            }
        }
        if contended {
            due = due.min(self.turn_ends);
        }
        if self.armed.is_none_or(|armed| due < armed) {
            self.machine.timer.arm(due.saturating_sub(now));
            self.armed = Some(due);
        }
    }

    /// Shows the page that the VM in focus has in its text memory.
    fn paint(&mut self) {
        const TEXT: u64 = 0xb_8000;
        if self.keys.is_open() {
            return;
        }
        let guest = self.guests.get(self.focus);
        let Some(life) = guest.and_then(|guest| guest.life.as_ref()) else {
            return;
        };
        let vm = &life.instance.vm;
        if !vm.policy.devices.contains(DeviceSet::VGA) {
            return;
        }
        let start = vm.devices.vga.start_address();
        let mut cells = [0; CELLS];
        vm.memory
            .read_cells(Gpa(TEXT + 2 * u64::from(start)), &mut cells);
        let cursor = vm
            .devices
            .vga
            .cursor()
            .and_then(|cursor| cursor.cell.checked_sub(start))
            .map(usize::from);
        SCREEN.lock().show_page(&cells.map(Cell), cursor);
    }
}
