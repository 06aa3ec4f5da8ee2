//! The control area: 000h-3FFh (APM table B-1).

use super::area;
use super::words;
use crate::event::injection;
use crate::{Event, Feature};

pub use super::words::{clean, nested, shadow, vintr};

area! {
    /// The control area of the VMCB.
    Control at 0x000, 0x400 bytes, fields "15.5, appendix B";
    0x000 intercept_cr_read: u16, Request, "Intercept reads of CR0-CR15, a bit each";
    0x002 intercept_cr_write: u16, Request, "Intercept writes of CR0-CR15, a bit each";
    0x004 intercept_dr_read: u16, Request, "Intercept reads of DR0-DR15, a bit each";
    0x006 intercept_dr_write: u16, Request, "Intercept writes of DR0-DR15, a bit each";
    0x008 intercept_exceptions: u32, Request, "Intercept exception vectors 0-31, a bit each";
    0x00c intercept_misc1: u32, Request, "Intercepts of interrupts, descriptor tables and instructions";
    0x010 intercept_misc2: u32, Request, "Intercepts of SVM and further instructions, and write traps";
    0x014 intercept_misc3: u32, Request, "Intercepts of INVLPGB, INVPCID, MCOMMIT, TLBSYNC, bus locks";
    0x018 reserved_018: [u8; 0x24], Reserved, "Reserved";
    0x03c pause_filter_threshold: u16, Request, "PAUSE loops within this many cycles count as one", needs PAUSE_THRESHOLD;
    0x03e pause_filter_count: u16, Request, "PAUSEs before the exit", needs PAUSE_FILTER;
    0x040 iopm_base_pa: u64, Request, "Physical address of the I/O permission map, 12 KiB";
    0x048 msrpm_base_pa: u64, Request, "Physical address of the MSR permission map, 8 KiB";
    0x050 tsc_offset: u64, Request, "Added to the TSC that the guest reads";
    0x058 guest_asid: u32, Request, "Address space identifier of the guest; 0 is the host's";
    0x05c tlb_control: u8, Request, "What VMRUN flushes from the TLB", bits words::tlb_control::BITS;
    0x05d erap_control: u8, Request, "Return-address predictor of the guest", bits words::erap_control::BITS, needs ERAPS;
    0x05e reserved_05e: [u8; 2], Reserved, "Reserved";
    0x060 vintr: u64, Exchange, "Virtual interrupts: what is pending, and what the guest's flags govern", bits words::vintr::BITS;
    0x068 interrupt_shadow: u64, Exchange, "Interrupt shadow of the guest", bits words::shadow::BITS;
    0x070 exit_code: u64, Answer, "EXITCODE: why the guest stopped";
    0x078 exit_info1: u64, Answer, "EXITINFO1: more about it, by exit code";
    0x080 exit_info2: u64, Answer, "EXITINFO2: more about it, by exit code";
    0x088 exit_int_info: Event, Answer, "EXITINTINFO: the event whose delivery the exit interrupted", bits injection::BITS;
    0x090 nested_control: u64, Request, "Nested paging, encryption, and what goes with them", bits words::nested::BITS;
    0x098 avic_apic_bar: u64, Request, "AVIC: guest-physical address of the APIC", bits words::avic_bar::BITS, needs AVIC;
    0x0a0 ghcb_gpa: u64, Exchange, "Guest-physical address of the GHCB of an encrypted guest", needs SEV_ES;
    0x0a8 event_injection: Event, Exchange, "EVENTINJ: an event to deliver on VMRUN; #VMEXIT clears it", bits injection::BITS;
    0x0b0 nested_cr3: u64, Request, "N_CR3: physical address of the nested page table's root", needs NPT;
    0x0b8 virtualization_control: u64, Request, "What the CPU virtualises without exits", bits words::virtualization::BITS;
    0x0c0 clean: u32, Request, "VMCB clean bits: groups of fields unchanged since the last VMRUN", bits words::clean::BITS, needs VMCB_CLEAN;
    0x0c4 reserved_0c4: [u8; 4], Reserved, "Reserved";
    0x0c8 next_rip: u64, Answer, "nRIP: the RIP behind the intercepted instruction", needs NRIP;
    0x0d0 fetched_bytes: u8, Answer, "How many instruction bytes follow, with decode assists", bits words::fetched::BITS, needs DECODE_ASSISTS;
    0x0d1 instruction_bytes: [u8; 15], Answer, "The bytes fetched at the intercepted instruction", needs DECODE_ASSISTS;
    0x0e0 avic_backing_page: u64, Request, "AVIC: physical address of the APIC backing page", bits words::avic_page::BITS, needs AVIC;
    0x0e8 reserved_0e8: [u8; 8], Reserved, "Reserved";
    0x0f0 avic_logical_table: u64, Request, "AVIC: physical address of the logical APIC ID table", bits words::avic_page::BITS, needs AVIC;
    0x0f8 avic_physical_table: u64, Request, "AVIC: physical address of the physical APIC ID table, and its last index", bits words::avic_physical::BITS, needs AVIC;
    0x100 reserved_100: [u8; 8], Reserved, "Reserved";
    0x108 vmsa_pa: u64, Request, "Physical address of the save area of an encrypted guest", bits words::vmsa::BITS, needs SEV_ES;
    0x110 vmgexit_rax: u64, Answer, "RAX of an encrypted guest at VMGEXIT", needs SEV_ES;
    0x118 vmgexit_cpl: u64, Answer, "CPL of an encrypted guest at VMGEXIT", bits words::vmgexit_cpl::BITS, needs SEV_ES;
    0x120 bus_lock_counter: u16, Exchange, "Bus locks that the guest may take before the exit", needs BUS_LOCK_THRESHOLD;
    0x122 reserved_122: [u8; 0x12], Reserved, "Reserved";
    0x134 update_irr: u32, Request, "Whether VMRUN takes REQUESTED_IRR", bits words::update_irr::BITS, needs SECURE_AVIC;
    0x138 allowed_sev_features: u64, Request, "The features that an encrypted guest may have", bits words::allowed_features::BITS, needs ALLOWED_SEV_FEATURES;
    0x140 guest_sev_features: u64, Found, "The features that an encrypted guest has, as VMRUN found them", bits words::sev_features::BITS, needs ALLOWED_SEV_FEATURES;
    0x148 reserved_148: [u8; 8], Reserved, "Reserved";
    0x150 requested_irr: [u8; 0x20], Request, "REQUESTED_IRR: interrupts for a guest with a secure AVIC, a bit each", needs SECURE_AVIC;
    0x170 reserved_170: [u8; 0x270], Reserved, "Reserved";
    0x3e0 reserved_for_host: [u8; 0x20], Software, "Reserved for the VMM's own use; the CPU ignores it";
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
