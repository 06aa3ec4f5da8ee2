//! The control area: 000h-3FFh (APM table B-1).

use super::area;
use crate::Event;

area! {
    /// The control area of the VMCB.
    Control at 0x000, 0x400 bytes;
    0x000 intercept_cr_read: u16, "Intercept reads of CR0-CR15, a bit each";
    0x002 intercept_cr_write: u16, "Intercept writes of CR0-CR15, a bit each";
    0x004 intercept_dr_read: u16, "Intercept reads of DR0-DR15, a bit each";
    0x006 intercept_dr_write: u16, "Intercept writes of DR0-DR15, a bit each";
    0x008 intercept_exceptions: u32, "Intercept exception vectors 0-31, a bit each";
    0x00c intercept_misc1: u32, "Intercepts of interrupts, descriptor tables and instructions";
    0x010 intercept_misc2: u32, "Intercepts of SVM and further instructions, and write traps";
    0x014 intercept_misc3: u32, "Intercepts of INVLPGB, INVPCID, MCOMMIT, TLBSYNC, bus locks";
    0x018 reserved_018: [u8; 0x24], "Reserved";
    0x03c pause_filter_threshold: u16, "PAUSE loops within this many cycles count as one";
    0x03e pause_filter_count: u16, "PAUSEs before the exit";
    0x040 iopm_base_pa: u64, "Physical address of the I/O permission map, 12 KiB";
    0x048 msrpm_base_pa: u64, "Physical address of the MSR permission map, 8 KiB";
    0x050 tsc_offset: u64, "Added to the TSC that the guest reads";
    0x058 guest_asid: u32, "Address space identifier of the guest; 0 is the host's";
    0x05c tlb_control: u8, "What VMRUN flushes: 0 nothing, 1 everything, 3 this ASID, 7 this ASID's non-global";
    0x05d reserved_05d: [u8; 3], "Reserved";
    0x060 vintr: u64, "Virtual interrupt: V_TPR, V_IRQ, priority, V_INTR_MASKING, vector";
    0x068 interrupt_shadow: u64, "Bit 0: the guest is in an interrupt shadow; bit 1: GUEST_INTERRUPT_MASK";
    0x070 exit_code: u64, "EXITCODE: why the guest stopped";
    0x078 exit_info1: u64, "EXITINFO1: more about it, by exit code";
    0x080 exit_info2: u64, "EXITINFO2: more about it, by exit code";
    0x088 exit_int_info: Event, "EXITINTINFO: the event whose delivery the exit interrupted";
    0x090 nested_control: u64, "Bit 0: nested paging; bits 1 and 2: encrypted guest";
    0x098 avic_apic_bar: u64, "AVIC: guest-physical address of the APIC";
    0x0a0 ghcb_gpa: u64, "Guest-physical address of the GHCB of an encrypted guest";
    0x0a8 event_injection: Event, "EVENTINJ: an event to deliver on VMRUN";
    0x0b0 nested_cr3: u64, "N_CR3: physical address of the nested page table's root";
    0x0b8 virtualization_control: u64, "Bit 0: LBR virtualisation; bit 1: virtual VMLOAD and VMSAVE";
    0x0c0 clean: u32, "VMCB clean bits: groups of fields unchanged since the last VMRUN";
    0x0c4 reserved_0c4: [u8; 4], "Reserved";
    0x0c8 next_rip: u64, "nRIP: the RIP behind the intercepted instruction";
    0x0d0 fetched_bytes: u8, "How many instruction bytes follow, with decode assists";
    0x0d1 instruction_bytes: [u8; 15], "The bytes fetched at the intercepted instruction";
    0x0e0 avic_backing_page: u64, "AVIC: physical address of the APIC backing page";
    0x0e8 reserved_0e8: [u8; 8], "Reserved";
    0x0f0 avic_logical_table: u64, "AVIC: physical address of the logical APIC ID table";
    0x0f8 avic_physical_table: u64, "AVIC: physical address of the physical APIC ID table, and its last index";
    0x100 reserved_100: [u8; 8], "Reserved";
    0x108 vmsa_pa: u64, "Physical address of the save area of an encrypted guest";
    0x110 vmgexit_rax: u64, "RAX of an encrypted guest at VMGEXIT";
    0x118 vmgexit_cpl: u64, "CPL of an encrypted guest at VMGEXIT, bits 7:0";
    0x120 bus_lock_counter: u16, "Bus locks that the guest may take before the exit";
    0x122 reserved_122: [u8; 0x2be], "Reserved";
    0x3e0 reserved_for_host: [u8; 0x20], "Reserved for the VMM's own use; the CPU ignores it";
}

/// Bits of [`Control::vintr`] (060h).
pub mod vintr {
    /// A virtual interrupt is pending.
    pub const V_IRQ: u64 = 1 << 8;
    /// Priority of the virtual interrupt, bits 19:16: the highest.
    pub const V_INTR_PRIO_HIGHEST: u64 = 0xf << 16;
    /// Deliver the virtual interrupt whatever V_TPR says.
    pub const V_IGN_TPR: u64 = 1 << 20;
    /// The guest's EFLAGS.IF and CR8 govern virtual interrupts only.
    pub const V_INTR_MASKING: u64 = 1 << 24;
}

/// Bits of [`Control::interrupt_shadow`] (068h).
pub mod shadow {
    /// The instruction after STI, MOV SS or POP SS has not completed.
    pub const INTERRUPT_SHADOW: u64 = 1 << 0;
}

/// Bits of [`Control::nested_control`] (090h).
pub mod nested {
    /// NP_ENABLE.
    pub const NP_ENABLE: u64 = 1 << 0;
}

/// Values of [`Control::tlb_control`] (APM 15.16.1).
pub mod tlb {
    /// Flush nothing.
    pub const NOTHING: u8 = 0;
    /// Flush the whole TLB, every ASID.
    pub const EVERYTHING: u8 = 1;
    /// Flush this guest's entries; needs FlushByASID.
    pub const THIS_ASID: u8 = 3;
    /// Flush this guest's entries but the global ones; needs FlushByASID.
    pub const THIS_ASID_NON_GLOBAL: u8 = 7;
}
