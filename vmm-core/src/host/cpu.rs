//! What a CPU needs of its own in memory: GDT, TSS, the stacks for exceptions that cannot trust
//! the current one, and its two IDTs. One [`Cpu`] for each processor; nothing here is shared.
//!
//! Follows APM volume 2, 4.8 (descriptors), 12.2.5 (64-bit TSS) and 8.9.4 (IST).

use core::mem::size_of;

use x86_64::VirtAddr;
use x86_64::instructions::segmentation::{CS, DS, ES, SS, Segment};
use x86_64::instructions::tables::load_tss;
use x86_64::structures::gdt::{Descriptor, GlobalDescriptorTable, SegmentSelector};
use x86_64::structures::tss::TaskStateSegment;

use super::frames::Frames;
use super::idt::Idt;
use super::span::Span;
use crate::addr::PAGE;

/// Bytes of each exception stack.
const STACK: u64 = 4 * PAGE;
/// Exceptions with a stack of their own: #DF, NMI and #MC.
pub const STACKS: usize = 3;

/// One processor's tables.
#[derive(Debug)]
#[repr(C, align(4096))]
pub struct Cpu {
    gdt: GlobalDescriptorTable,
    tss: TaskStateSegment,
    trusting: Idt,
    plain: Idt,
    guards: [Span; STACKS],
}

impl Cpu {
    /// Takes memory for a CPU's tables and stacks, and fills the tables. `None` when `frames`
    /// has too little, or only above the first 4 GiB, which is all that is mapped so far.
    ///
    /// # Safety
    /// What `frames` hands out is unused RAM, mapped one to one below 4 GiB and writable.
    pub unsafe fn create(frames: &mut Frames) -> Option<&'static mut Self> {
        let place = frames.alloc(size_of::<Self>() as u64, PAGE)?;
        let stacks = frames.alloc(STACKS as u64 * (PAGE + STACK), PAGE)?;
        if place.0.max(stacks.0) >= super::paging::DEVICE_TOP - (1 << 20) {
            return None;
        }
        let mut guards = [Span::default(); STACKS];
        let mut tss = TaskStateSegment::new();
        for (index, guard) in guards.iter_mut().enumerate() {
            let bottom = stacks.0 + index as u64 * (PAGE + STACK);
            *guard = Span::sized(bottom, PAGE);
            tss.interrupt_stack_table[index] = VirtAddr::new(bottom + PAGE + STACK);
        }
        let cpu = place.0 as *mut Self;
        // SAFETY: `place` is unused, page-aligned memory, large enough for `Self`, and nobody
        // else has a reference to it. The TSS stays where the descriptor says it is.
        unsafe {
            cpu.write(Self {
                gdt: GlobalDescriptorTable::new(),
                tss,
                trusting: Idt::new(true),
                plain: Idt::new(false),
                guards,
            });
            let cpu = &mut *cpu;
            cpu.gdt.append(Descriptor::kernel_code_segment());
            cpu.gdt.append(Descriptor::kernel_data_segment());
            cpu.gdt
                .append(Descriptor::tss_segment_unchecked(&raw const cpu.tss));
            Some(cpu)
        }
    }

    /// Makes this the running CPU's tables.
    ///
    /// # Safety
    /// Runs once, in ring 0, on the CPU that these tables are for, with interrupts off.
    pub unsafe fn install(&'static self) {
        use x86_64::PrivilegeLevel::Ring0;
        let data = SegmentSelector::new(2, Ring0);
        // SAFETY: the GDT has 64-bit code at index 1, data at 2 and the TSS at 3, and lives as
        // long as the machine. FS and GS stay null: host code never uses them.
        unsafe {
            self.gdt.load_unsafe();
            CS::set_reg(SegmentSelector::new(1, Ring0));
            SS::set_reg(data);
            DS::set_reg(data);
            ES::set_reg(data);
            load_tss(SegmentSelector::new(3, Ring0));
        }
        self.use_ist(true);
    }

    /// Whether #DF, NMI and #MC get stacks of their own.
    ///
    /// Not while a guest's TR is loaded, from VMRUN until the host's VMLOAD: #VMEXIT does not
    /// bring back TR, and the CPU would read the stack's address from a TSS that the guest chose.
    #[inline]
    pub fn use_ist(&'static self, yes: bool) {
        let idt = if yes { &self.trusting } else { &self.plain };
        idt.load();
    }

    /// The pages below the exception stacks, to be left unmapped.
    pub const fn guards(&self) -> [Span; STACKS] {
        self.guards
    }
}
