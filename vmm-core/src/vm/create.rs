//! Making a VM: memory, maps, page tables, VMCB, devices, and the loaded image.

use core::fmt;
use core::mem::MaybeUninit;

use intercepts::vmcb::control::{nested, vintr};
use intercepts::vmcb::{Control, validate};
use ledger::Book;

use crate::addr::{HUGE_PAGE, Hpa, LARGE_PAGE, PAGE};
use crate::devices::{DeviceSet, Devices, UnixTime};
use crate::exits;
use crate::host::frames::Frames;
use crate::host::tsc::Tsc;
use crate::journal::{self, Birth, Seen};
use crate::policy::{Ticks, TlbFlush, VmPolicy};
use crate::svm::features::Svm;
use crate::svm::npt::{self, Table, TablePages};
use crate::svm::permissions::{self, IOPM_BYTES, MSRPM_BYTES};
use crate::svm::shadow::Room;
use crate::svm::tlb::Flush;
use crate::vm::clock::GuestClock;
use crate::vm::cpuid::CpuidModel;
use crate::vm::denials::Denials;
use crate::vm::line::Line;
use crate::vm::loader;
use crate::vm::memory::GuestMemory;
use crate::vm::pvclock::Pvclock;
use crate::vm::stats::{Books, Stats};
use crate::vm::{How, Instance, State, Vcpu, Vm, refusal};
use crate::warn;

/// The machine has too little memory for a VM.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TooLittleMemory {
    /// The VM.
    pub name: &'static str,
    /// What the policy gives it, in bytes.
    pub wanted: u64,
    /// The largest free piece of the machine, in bytes.
    pub largest: u64,
}

impl fmt::Display for TooLittleMemory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "VM `{}` wants {} KiB of memory, but the largest free piece of this machine has {} KiB; \
             lower `memory` in vm.toml, or give the machine more",
            self.name,
            self.wanted >> 10,
            self.largest >> 10,
        )
    }
}

/// A file that the boot loader should have brought: the word that names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NotThere(pub &'static str);

/// What the VMM gives every VM.
pub struct Surroundings<'a> {
    /// Free memory.
    pub frames: &'a mut Frames,
    /// What the CPU offers.
    pub svm: Svm,
    /// The machine's clock.
    pub tsc: Tsc,
    /// What the machine's CPUID answers to a leaf and a subleaf.
    pub cpuid: fn(u32, u32) -> [u32; 4],
    /// The wall-clock time.
    pub wall: UnixTime,
    /// The books that the VM's exits are written into.
    pub books: Books,
}

/// Makes a VM, in page frames of its own, and loads `files` into it.
///
/// A file that is not there or cannot be loaded makes a VM that has already ended, with the
/// reason; the other VMs are not concerned.
///
/// # Errors
/// The machine has too little memory for it.
#[expect(
    clippy::mut_from_ref,
    reason = "the VM is in frames of its own, and not in the policy"
)]
pub fn create(
    policy: &'static VmPolicy,
    files: Result<loader::Files<'_>, NotThere>,
    around: &mut Surroundings<'_>,
) -> Result<&'static mut Instance, TooLittleMemory> {
    let too_little = TooLittleMemory {
        name: policy.name,
        wanted: policy.memory,
        largest: around.frames.largest(LARGE_PAGE),
    };
    let memory = guest_memory(policy.memory, around.frames).ok_or(too_little)?;
    let Some((home, _)) = room::<Instance>(around.frames) else {
        free_or_say(around.frames, memory.base(), memory.bytes());
        return Err(too_little);
    };
    let birth = Birth {
        nrip: around.svm.nrip,
        decode_assists: around.svm.decode_assists,
        flush_by_asid: around.svm.flush_by_asid && policy.tlb != TlbFlush::All,
        clean_bits: around.svm.clean_bits,
        interrupts_by_v_irq: around.svm.injects_twice,
        is_counted: around.books.totals.is_some(),
        tsc_hz: around.tsc.hz(),
        wall: around.wall,
    };
    let (tsc, cpuid, books) = (around.tsc, around.cpuid, around.books);
    let instance = born(home, policy, memory, &birth, tsc, cpuid, books);
    let Instance { vcpu, vm } = &mut *instance;
    let huge = has_huge_pages((around.cpuid)(0x8000_0001, 0));
    let made = fill_control(vcpu.control_mut(), policy, &vm.memory, huge, around.frames);
    if made.is_none() {
        // SAFETY: it has just been made here.
        unsafe { destroy(instance, around.frames) };
        return Err(too_little);
    }
    // The TLB may still know an earlier VM of this ASID.
    vcpu.flush_tlb(Flush::All);
    let loaded = files.map(|files| loader::load(&files, &mut vm.memory, vcpu));
    if let Err(NotThere(word)) = loaded {
        vm.finish(
            How::Crashed,
            format_args!(
                "there is no boot module for it whose string has the word `{word}={}`; \
                 `cargo run-qemu` and `cargo image` see to that",
                policy.name
            ),
        );
    } else if let Ok(Err(error)) = loaded {
        vm.finish(
            How::Crashed,
            format_args!("its image cannot be loaded: {error}"),
        );
    } else if let Err(violation) = validate(vcpu.vmcb(), around.svm.max_physical) {
        refusal::tell_unfit(policy.name, vcpu.vmcb(), violation);
        vm.finish(
            How::Crashed,
            format_args!(
                "VMRUN would refuse its VMCB: {} ({}; APM 15.5.1)",
                violation.field, violation.rule
            ),
        );
    }
    if policy.devices.contains(DeviceSet::LAPIC) {
        // A policy's smallest memory reaches so far.
        let _ = loader::acpi::write(&mut vm.memory, policy.devices);
    }
    if !policy.npt
        && let Err(too_little) = put_on_shadow_tables(instance, around.frames)
    {
        // SAFETY: it has just been made here.
        unsafe { destroy(instance, around.frames) };
        return Err(too_little);
    }
    let Instance { vcpu, vm } = &mut *instance;
    exits::host_paging::watch(vcpu, vm);
    Ok(instance)
}

/// What CPUID tells the VM.
fn cpuid_of(policy: &VmPolicy, host: fn(u32, u32) -> [u32; 4]) -> CpuidModel {
    let mut model = CpuidModel::new(policy.cpu, host);
    if !policy.npt {
        model.hide_pat();
    }
    if policy.devices.contains(DeviceSet::LAPIC) {
        model.show_apic();
    }
    if policy.devices.contains(DeviceSet::PVCLOCK) {
        model.show_pvclock();
    }
    model.with(policy.cpuid, host)
}

/// Makes a VM in its `home`, which is never left: its vCPU, its devices, what CPUID tells it, its
/// clock. `cpuid`: what the machine answers to a leaf and a subleaf.
pub fn born<'h>(
    home: &'h mut MaybeUninit<Instance>,
    policy: &'static VmPolicy,
    memory: GuestMemory,
    birth: &Birth,
    tsc: Tsc,
    cpuid: fn(u32, u32) -> [u32; 4],
    books: Books,
) -> &'h mut Instance {
    journal::birth_begins(birth, policy);
    let instance = home.write(Instance {
        vcpu: Vcpu::new(birth.nrip),
        vm: Vm {
            policy,
            dispatch: policy.dispatch,
            behind: policy.dispatch,
            shadow: None,
            memory,
            devices: Devices::new(policy.devices, policy.memory, birth.wall)
                .catching_up(policy.ticks == Ticks::CatchUp),
            cpuid: cpuid_of(policy, cpuid),
            clock: GuestClock::start(tsc),
            pvclock: policy
                .devices
                .contains(DeviceSet::PVCLOCK)
                .then(|| Pvclock::new(birth.wall)),
            stats: Stats::new(books),
            denials: Denials::default(),
            marker: None,
            is_marked: false,
            line: Line::default(),
            state: State::Runnable,
            paused: false,
            end: None,
            awaits_end_of_interrupt: false,
            retry_soon: false,
            seen: Seen::default(),
        },
    });
    instance.vcpu.has_clean_bits = birth.clean_bits;
    instance.vcpu.has_decode_assists = birth.decode_assists;
    instance.vcpu.flush_by_asid = birth.flush_by_asid;
    instance.vcpu.interrupts_by_v_irq = birth.interrupts_by_v_irq;
    journal::birth_ends();
    instance
}

/// Gives a VM that has not run yet its shadow page tables.
fn put_on_shadow_tables(
    instance: &mut Instance,
    frames: &mut Frames,
) -> Result<(), TooLittleMemory> {
    let Instance { vcpu, vm } = instance;
    let room = Room::new(vm.policy.shadow_tables, vm.memory.bytes());
    let too_little = TooLittleMemory {
        name: vm.policy.name,
        wanted: room.bytes(),
        largest: frames.largest(PAGE),
    };
    let place = frames
        .alloc_below(room.bytes(), PAGE, Room::END)
        .ok_or(too_little)?;
    let [sizes, ..] = vm.cpuid.leaf(0x8000_0008);
    let physical_bits = (sizes & 0xff).clamp(32, 52);
    let gigabyte = has_huge_pages(vm.cpuid.leaf(0x8000_0001));
    // SAFETY: the frames were free, end early enough, are mapped one to one, and are this VM's
    // until `destroy`.
    let shadow = unsafe { room.place(place, &vm.memory, physical_bits, gigabyte) };
    exits::shadow::begin(vcpu, vm, shadow);
    Ok(())
}

/// Gives back all that [`create`] took from `frames`: memory, permission maps, page tables, and
/// the VM itself. It may be half made: what its control area does not name was not taken.
///
/// # Safety
/// `instance` came from [`create`] with the same `frames`, and nothing else points to it.
pub unsafe fn destroy(instance: &'static mut Instance, frames: &mut Frames) {
    if let Some(shadow) = &instance.vm.shadow {
        let memory = shadow.memory();
        free_or_say(frames, memory.start, memory.bytes());
    }
    let (control, memory) = (instance.vcpu.control(), &instance.vm.memory);
    if control.nested_cr3 != 0 {
        npt::free(&mut FramePages(frames), Hpa(control.nested_cr3));
    }
    for (start, bytes) in [
        (Hpa(control.iopm_base_pa), IOPM_BYTES as u64),
        (Hpa(control.msrpm_base_pa), MSRPM_BYTES as u64),
        (memory.base(), memory.bytes()),
    ] {
        if start.0 != 0 {
            free_or_say(frames, start, bytes);
        }
    }
    // SAFETY: as the caller says.
    unsafe { free_piece(frames, instance) };
}

/// Memory that the allocator does not take back is lost, which is worth a line.
fn free_or_say(frames: &mut Frames, start: Hpa, bytes: u64) {
    if let Err(error) = frames.free(start, bytes) {
        warn!("memory is lost: {error}");
    }
}

/// Whether a CPU with this leaf 8000_0001 has pages of 1 GiB.
fn has_huge_pages([_, _, _, edx]: [u32; 4]) -> bool {
    edx >> 26 & 1 != 0
}

/// `bytes` of zeroed memory that large nested pages can map.
fn guest_memory(bytes: u64, frames: &mut Frames) -> Option<GuestMemory> {
    let whole = bytes.checked_next_multiple_of(PAGE)?;
    let huge = (bytes >= HUGE_PAGE).then(|| frames.alloc(whole, HUGE_PAGE));
    let hpa = huge.flatten().or_else(|| frames.alloc(whole, LARGE_PAGE))?;
    // SAFETY: the frames were free and are now this VM's alone.
    let mut memory = unsafe { GuestMemory::new(hpa, bytes) };
    memory.zero(crate::addr::Gpa(0), bytes)?;
    Some(memory)
}

/// The control area as the policy and the VMM want it.
fn fill_control(
    control: &mut Control,
    policy: &VmPolicy,
    memory: &GuestMemory,
    huge: bool,
    frames: &mut Frames,
) -> Option<()> {
    (policy.init_vmcb)(control);
    let (io_map, io_map_pa) = zeroes::<IOPM_BYTES>(frames)?;
    permissions::fill_io_map(io_map, policy.io);
    control.iopm_base_pa = io_map_pa.0;
    let (msr_map, msr_map_pa) = zeroes::<MSRPM_BYTES>(frames)?;
    permissions::fill_msr_map(msr_map, policy.msrs);
    control.msrpm_base_pa = msr_map_pa.0;
    control.vintr = vintr::V_INTR_MASKING;
    if control.nested_control & nested::NP_ENABLE != 0 {
        let (base, bytes) = (memory.base(), memory.bytes());
        control.nested_cr3 = npt::build(&mut FramePages(frames), base, bytes, huge)?.0;
    }
    Some(())
}

/// An empty book, which is never given back.
pub fn book<T: Book>(frames: &mut Frames) -> Option<&'static T> {
    books(1, frames)?.first()
}

/// So many empty books in a row, which are never given back.
pub fn books<T: Book>(count: usize, frames: &mut Frames) -> Option<&'static [T]> {
    let bytes = (size_of::<T>().checked_mul(count)? as u64).checked_next_multiple_of(PAGE)?;
    let hpa = frames.alloc(bytes, PAGE)?;
    // SAFETY: the frames were free, are mapped one to one, large and aligned enough, and nothing
    // else has their address; zeroes are a T, as every book promises.
    let books = unsafe {
        core::ptr::write_bytes(hpa.0 as *mut u8, 0, bytes as usize);
        core::slice::from_raw_parts(hpa.0 as *const T, count)
    };
    books.iter().for_each(Book::open);
    Some(books)
}

/// `value` in page frames of its own, until [`free_piece`].
pub fn piece<T>(frames: &mut Frames, value: T) -> Option<(&'static mut T, Hpa)> {
    let (room, hpa) = room(frames)?;
    Some((room.write(value), hpa))
}

/// Page frames for what is too large to be moved there over the stack, until [`free_piece`].
fn room<T>(frames: &mut Frames) -> Option<(&'static mut MaybeUninit<T>, Hpa)> {
    let bytes = (size_of::<T>() as u64).next_multiple_of(PAGE);
    let hpa = frames.alloc(bytes, PAGE)?;
    // SAFETY: the frames were free, are mapped one to one, large and aligned enough for T, and
    // nothing else has their address.
    Some((unsafe { &mut *(hpa.0 as *mut MaybeUninit<T>) }, hpa))
}

/// `N` zeroes in page frames of their own.
fn zeroes<const N: usize>(frames: &mut Frames) -> Option<(&'static mut [u8; N], Hpa)> {
    let (room, hpa) = room::<[u8; N]>(frames)?;
    // SAFETY: zeroes are bytes.
    unsafe {
        room.as_mut_ptr().write_bytes(0, 1);
        Some((room.assume_init_mut(), hpa))
    }
}

/// Gives back the page frames of a value from [`piece`].
///
/// # Safety
/// `value` came from [`piece`] with the same `frames`, and nothing else points to it.
pub unsafe fn free_piece<T>(frames: &mut Frames, value: &'static mut T) {
    let place: *mut T = value;
    // SAFETY: the value is valid and the caller gives it up.
    unsafe { place.drop_in_place() };
    free_or_say(frames, Hpa(place as u64), size_of::<T>() as u64);
}

/// Page tables in page frames.
struct FramePages<'a>(&'a mut Frames);

impl TablePages for FramePages<'_> {
    fn allocate(&mut self) -> Option<Hpa> {
        piece::<Table>(self.0, [0; 512]).map(|(_, hpa)| hpa)
    }

    fn table(&mut self, at: Hpa) -> &mut Table {
        // SAFETY: `at` came from `allocate`, and no other reference to it lives.
        unsafe { &mut *(at.0 as *mut Table) }
    }

    fn give_back(&mut self, at: Hpa) {
        free_or_say(self.0, at, PAGE);
    }
}

#[cfg(test)]
mod tests;
