//! The VMM's main loop: enable SVM, make the VMs, and give each its turns until all have ended.
//!
//! Between two turns the VMM takes the machine's interrupts, brings every VM's timers up to
//! date, paints the screen, and decides who runs next. APM 15.4, 15.5, 15.17.

use core::arch::x86_64::__cpuid_count;

use heapless::{Deque, Vec};
use intercepts::vmcb::Vmcb;

use crate::addr::{Gpa, Hpa, PAGE};
use crate::console::{Escape, Typed};
use crate::devices::DeviceSet;
use crate::exits::interrupt;
use crate::host::ending::{self, Status};
use crate::host::irq::{self, Held, LineSet};
use crate::host::log::{self, Level};
use crate::host::screen::{CELLS, Cell, SCREEN};
use crate::host::serial::COM1;
use crate::host::{Machine, record, rtc, tsc};
use crate::info;
use crate::policy::{LogLevel, Policy, VmPolicy};
use crate::sched::Scheduler;
use crate::svm::debug_registers::DebugRegisters;
use crate::svm::features::{self, Svm};
use crate::svm::instructions::{self, FxImage, clgi, vmload, vmsave};
use crate::svm::{floor, switch};
use crate::vm::create::{self, Surroundings, piece};
use crate::vm::loader::Module;
use crate::vm::{End, Instance, Vm};

/// Most VMs that a policy may have.
pub const MAX_VMS: usize = 64;
/// The screen is painted every so many ns: 25 times a second.
const FRAME_NS: u64 = 40_000_000;
/// After so many ns a guest has left an interrupt shadow.
const RETRY_NS: u64 = 5_000;

/// What a vCPU has in the CPU beside what VMRUN and the world switch carry.
struct Guest {
    instance: Instance,
    fpu: FxImage,
    debug: DebugRegisters,
    reported: bool,
}

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
        check_needs(vm, &svm);
    }
    let mut hypervisor = Hypervisor::new(policy, svm, machine);
    hypervisor.create_vms(images);
    hypervisor.hello();
    hypervisor.measure_floor();
    hypervisor.run()
}

const EFER: u32 = 0xc000_0080;
const EFER_SVME: u64 = 1 << 12;
const VM_CR: u32 = 0xc001_0114;
const VM_HSAVE_PA: u32 = 0xc001_0117;

/// VM_CR, on a CPU with SVM. Not inlined: a test answers for it with a debugger.
#[inline(never)]
fn read_vm_cr() -> u64 {
    instructions::rdmsr(VM_CR)
}

fn cpuid(leaf: u32) -> [u32; 4] {
    let answer = __cpuid_count(leaf, 0);
    [answer.eax, answer.ebx, answer.ecx, answer.edx]
}

/// Refuses to run a VM that relies on what this CPU lacks, naming the line that does.
fn check_needs(vm: &VmPolicy, svm: &Svm) {
    for need in vm.needs {
        if !features::has(cpuid, need.feature) {
            ending::refused(format_args!(
                "this CPU lacks `{}` ({}), which {} asks for",
                need.feature.name, need.feature.meaning, need.origin
            ));
        }
    }
    if vm.asid >= svm.asids {
        ending::refused(format_args!(
            "VM `{}` has ASID {}, but this CPU has ASIDs 1 to {}",
            vm.name,
            vm.asid,
            svm.asids.saturating_sub(1)
        ));
    }
}

struct Hypervisor {
    policy: &'static Policy,
    svm: Svm,
    machine: Machine,
    /// Free memory before the VMs were made, in bytes.
    free_at_first: u64,
    host_state: Hpa,
    guests: Vec<&'static mut Guest, MAX_VMS>,
    scheduler: Scheduler,
    /// Whose state is in the CPU.
    loaded: Option<usize>,
    /// Whose screen and keyboard the person has.
    focus: usize,
    keys: Deque<u8, 64>,
    typed: Deque<u8, 256>,
    escape: Escape,
    /// The person wants an end of everything.
    quitting: bool,
    /// When the current turn ends, and when the screen is painted next: ns of [`Self::now`].
    turn_ends: u64,
    paint_at: u64,
    /// When the host timer will interrupt.
    armed: Option<u64>,
    started: u64,
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
        instructions::wrmsr(EFER, instructions::rdmsr(EFER) | EFER_SVME);
        instructions::wrmsr(VM_HSAVE_PA, host_save.0);
        // SAFETY: SVM has just been enabled, and `host_state` is a VMCB of the VMM's own.
        unsafe {
            vmsave(host_state);
            clgi();
        }
        Hypervisor {
            policy,
            svm,
            machine,
            free_at_first,
            host_state,
            guests: Vec::new(),
            scheduler: Scheduler::default(),
            loaded: None,
            focus: 0,
            keys: Deque::new(),
            typed: Deque::new(),
            escape: Escape::default(),
            quitting: false,
            turn_ends: 0,
            paint_at: 0,
            armed: None,
            started: tsc::now(),
        }
    }

    fn create_vms(&mut self, images: &'static [Option<&'static [u8]>]) {
        let wall = rtc::now();
        for (index, policy) in self.policy.vms.iter().enumerate() {
            let linked = images.get(index).copied().flatten();
            let image = self.boot_module(policy.name).or(linked).unwrap_or_default();
            let modules: [Module<'_>; 0] = [];
            let mut around = Surroundings {
                frames: &mut self.machine.frames,
                svm: self.svm,
                tsc: self.machine.tsc,
                cpuid,
                wall,
            };
            let instance = match create::create(policy, image, &modules, &mut around) {
                Ok(instance) => instance,
                Err(error) => ending::refused(error),
            };
            let guest = Guest {
                instance,
                fpu: FxImage::reset(),
                debug: DebugRegisters::default(),
                reported: false,
            };
            let placed = piece(&mut self.machine.frames, guest);
            let Some((guest, _)) = placed else {
                ending::refused(format_args!("no memory left for VM `{}`", policy.name));
            };
            info!(
                "{}: {} KiB of memory, ASID {}, {}",
                policy.name,
                policy.memory >> 10,
                policy.asid,
                if policy.npt {
                    "nested paging"
                } else {
                    "shadow paging"
                },
            );
            if self.guests.push(guest).is_err() {
                ending::refused(format_args!("more than {MAX_VMS} VMs"));
            }
        }
    }

    /// The boot module whose string gives it to VM `name`: `FILE image=NAME`.
    fn boot_module(&self, name: &str) -> Option<&'static [u8]> {
        let module = self.machine.boot.modules.iter().find(|module| {
            module
                .string
                .split_ascii_whitespace()
                .skip(1)
                .filter_map(|word| word.strip_prefix("image="))
                .any(|vm| vm == name)
        })?;
        let span = module.span;
        // SAFETY: the boot loader put the module there, the frame allocator keeps it out of
        // everyone's hands, and it is mapped one to one.
        Some(unsafe {
            core::slice::from_raw_parts(span.start.0 as *const u8, span.bytes() as usize)
        })
    }

    fn hello(&self) {
        let machine = &self.machine;
        let guests: u64 = self
            .policy
            .vms
            .iter()
            .map(|vm| vm.memory.next_multiple_of(PAGE))
            .sum();
        let taken = self.free_at_first - machine.frames.free_bytes() - guests;
        record::send("hello", |record| {
            record.number("version", 1);
            record.texts("vms", self.policy.vms.iter().map(|vm| vm.name));
            record.number("tsc_hz", machine.tsc.hz());
            record.number("vmm_bytes", machine.own_bytes + taken);
        });
    }

    /// On the word `floor` of the VMM's own command line: what VMRUN and #VMEXIT cost bare,
    /// in the same run as everything else, as a record.
    fn measure_floor(&mut self) {
        const ROUNDS: u64 = 10_000;
        let words = &self.machine.boot.command_line;
        if !words.split_ascii_whitespace().any(|word| word == "floor") || self.guests.is_empty() {
            return;
        }
        self.load(0);
        // SAFETY: as in `turn`; the VMs are new.
        let ticks = unsafe { floor::measure(&mut self.guests[0].instance, ROUNDS) };
        record::send("floor", |record| {
            record.number("rounds", ROUNDS);
            record.number("ticks", ticks.unwrap_or(0));
        });
    }

    /// Ns since the VMM began to run VMs.
    fn now(&self) -> u64 {
        self.machine.tsc.ns(tsc::now().wrapping_sub(self.started))
    }

    fn run(mut self) -> ! {
        loop {
            let lines = irq::window(Held::ByGif);
            self.serve(lines);
            let now = self.now();
            self.bring_up_to_date();
            if now >= self.paint_at {
                self.paint();
                self.paint_at = now + FRAME_NS;
            }
            if self.report_ends() || self.quitting {
                self.finish();
            }
            let stay = now < self.turn_ends;
            let guests = &self.guests;
            let last = self.scheduler.last();
            let next = self.scheduler.pick(guests.len(), stay, |index| {
                guests[index].instance.vm.is_runnable()
            });
            match next {
                Some(index) => {
                    if last != next || !stay {
                        self.turn_ends = now + u64::from(self.policy.quantum_us) * 1000;
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

    /// Lets a VM run until an exit wants the VMM.
    fn turn(&mut self, index: usize) {
        self.load(index);
        let instance = &mut self.guests[index].instance;
        let Instance { vcpu, vm } = instance;
        vm.retry_soon = false;
        vcpu.forget_code_page();
        interrupt::offer(vcpu, vm);
        if vm.retry_soon {
            self.machine.timer.arm(RETRY_NS);
            self.armed = None;
        }
        let instance = &mut self.guests[index].instance;
        let started = tsc::now();
        // SAFETY: SVM is enabled with a host save area, GIF is 0 and IF 1 since `new`; the
        // instance is loaded, which also put aside the gates with IST; its VMCB passed
        // `validate`.
        unsafe { switch::run(instance) };
        instance.vm.stats.run_cycles += tsc::now().wrapping_sub(started);
        if instance.vm.retry_soon {
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
        let guest = &mut self.guests[index];
        guest.fpu.restore();
        guest.debug.load();
        // SAFETY: the address is that of the vCPU's VMCB, and no gate uses IST any more.
        unsafe { vmload(guest.instance.vcpu.vmcb_pa()) };
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
        if let Some(guest) = self
            .loaded
            .take()
            .and_then(|index| self.guests.get_mut(index))
        {
            guest.fpu.save();
            guest.debug.store();
            // SAFETY: the address is that of the vCPU's VMCB.
            unsafe { vmsave(guest.instance.vcpu.vmcb_pa()) };
        }
    }

    /// Takes what keyboard and COM1 have, and gives it to the VM in focus.
    fn serve(&mut self, lines: LineSet) {
        if lines.contains(irq::KEYBOARD) {
            while let Some(byte) = self.machine.keyboard.read() {
                // A person who types ahead of 64 keys is not believed.
                let _ = self.keys.push_back(byte);
            }
        }
        if lines.contains(irq::COM1) {
            while let Some(byte) = COM1.lock().read() {
                match self.escape.feed(byte) {
                    Typed::Guest(byte) => {
                        let _ = self.typed.push_back(byte);
                    }
                    Typed::Quit => self.quitting = true,
                    Typed::Help => {
                        info!("Ctrl-] q ends everything; Ctrl-] twice is one for the guest")
                    }
                    Typed::Nothing => {}
                }
            }
        }
        if lines.contains(irq::TIMER) {
            self.armed = None;
        }
        let Some(guest) = self.guests.get_mut(self.focus) else {
            return;
        };
        let devices = &mut guest.instance.vm.devices;
        while self.keys.front().is_some_and(|byte| devices.key(*byte)) {
            self.keys.pop_front();
        }
        while self
            .typed
            .front()
            .is_some_and(|byte| devices.serial_input(*byte))
        {
            self.typed.pop_front();
        }
    }

    /// Moves every VM's timers to its own time, and wakes those that an interrupt waits for.
    fn bring_up_to_date(&mut self) {
        for guest in &mut self.guests {
            let vm = &mut guest.instance.vm;
            if vm.end.is_none() {
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
            let vm = &guest.instance.vm;
            if vm.end.is_some() {
                continue;
            }
            contended |= Some(index) != running && vm.is_runnable();
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
        let Some(guest) = self.guests.get(self.focus) else {
            return;
        };
        let vm = &guest.instance.vm;
        if vm.end.is_some() || !vm.policy.devices.contains(DeviceSet::VGA) {
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

    /// Tells of each VM that has ended since the last call; `true` when all have.
    fn report_ends(&mut self) -> bool {
        let mut all_ended = true;
        for guest in &mut self.guests {
            match &guest.instance.vm.end {
                Some(end) if !guest.reported => {
                    report_end(&guest.instance.vm, end);
                    guest.reported = true;
                }
                Some(_) => {}
                None => all_ended = false,
            }
        }
        all_ended
    }

    /// All VMs have ended, or the person wants it so: the counts of those that live, and the
    /// status, for which living is no fault.
    fn finish(mut self) -> ! {
        self.paint();
        self.unload();
        for guest in self.guests.iter().filter(|guest| !guest.reported) {
            guest.instance.vm.report_denials();
            send_exits(&guest.instance.vm);
        }
        let is_good = self.guests.iter().all(|guest| {
            guest
                .instance
                .vm
                .end
                .as_ref()
                .is_none_or(|end| end.how.is_good())
        });
        ending::done(if is_good { Status::Good } else { Status::Bad })
    }
}

/// One VM's end, on the log and as records.
fn report_end(vm: &Vm, end: &End) {
    let name = vm.policy.name;
    log::line(
        if end.how.is_good() {
            Level::Info
        } else {
            Level::Error
        },
        format_args!("{name}: {}: {}", end.how.name(), end.reason),
    );
    vm.report_denials();
    send_exits(vm);
    record::send("ended", |record| {
        record.text("vm", name);
        record.text("how", end.how.name());
        record.flag("good", end.how.is_good());
        record.text("reason", &end.reason);
    });
}

/// What a VM stopped for, as a record.
fn send_exits(vm: &Vm) {
    record::send("exits", |record| {
        record.text("vm", vm.policy.name);
        record.objects("exits", vm.stats.iter(), |object, (exit, count)| {
            object.text("name", exit.name);
            object.number("code", exit.code as u64);
            object.number("count", count.count);
            object.number("cycles", count.cycles);
        });
        let vmm = vm.stats.vmm_cycles();
        record.number("guest_cycles", vm.stats.run_cycles.saturating_sub(vmm));
        record.number("vmm_cycles", vmm);
    });
}
