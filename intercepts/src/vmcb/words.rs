//! The formats of the control area's fields (APM table B-1 and the sections named below).
//!
//! The intercept words are not here: their bits are the rows of [`crate::EXITS`].

use crate::bits::bits;

bits! {
    /// Bits of [`super::Control::tlb_control`] (05Ch, APM 15.16.1).
    pub mod tlb_control: u8;
    TLB_CONTROL = 7:0, "What VMRUN flushes from the TLB" {
        0 => "nothing",
        1 => "everything, every ASID",
        3 => "this guest's entries (FlushByASID)",
        7 => "this guest's entries but the global ones (FlushByASID)",
    };

    /// Bits of [`super::Control::erap_control`] (05Dh).
    pub mod erap_control: u8;
    ALLOW_LARGER_RAP = 0, "The guest may use the larger return-address predictor";
    CLEAR_RAP = 1, "VMRUN clears the return-address predictor";

    /// Bits of [`super::Control::vintr`] (060h, APM 15.21).
    pub mod vintr: u64;
    V_TPR = 7:0, "Virtual task priority, in bits 3:0; #VMEXIT writes back the guest's";
    V_IRQ = 8, "A virtual interrupt is pending; #VMEXIT writes it back";
    VGIF = 9 needs VGIF, "Virtual global interrupt flag: 1, the guest takes interrupts";
    V_NMI = 11 needs VNMI, "A virtual NMI is pending";
    V_NMI_MASK = 12 needs VNMI, "The guest has virtual NMIs masked";
    V_INTR_PRIO = 19:16, "Priority of the virtual interrupt";
    V_IGN_TPR = 20, "The virtual interrupt ignores V_TPR";
    V_INTR_MASKING = 24, "EFLAGS.IF and CR8 of the guest govern virtual interrupts only";
    VGIF_ENABLE = 25 needs VGIF, "STGI and CLGI of the guest change VGIF";
    V_NMI_ENABLE = 26 needs VNMI, "NMIs are virtualised";
    X2AVIC_ENABLE = 30 needs X2AVIC, "AVIC works in x2APIC mode";
    AVIC_ENABLE = 31 needs AVIC, "The CPU virtualises the APIC";
    V_INTR_VECTOR = 39:32, "Vector of the virtual interrupt";

    /// Bits of [`super::Control::interrupt_shadow`] (068h, APM 15.21.5).
    pub mod shadow: u64;
    INTERRUPT_SHADOW = 0, "The instruction after STI, MOV SS or POP SS has not completed";
    GUEST_INTERRUPT_MASK = 1, "EFLAGS.IF of the guest, while its state is encrypted";

    /// Bits of [`super::Control::nested_control`] (090h, APM 15.25.3).
    pub mod nested: u64;
    NP_ENABLE = 0 needs NPT, "Nested paging";
    SEV_ENABLE = 1 needs SEV, "Encrypted memory";
    SEV_ES_ENABLE = 2 needs SEV_ES, "Encrypted registers";
    GMET_ENABLE = 3 needs GMET, "The user bit of nested entries guards the guest supervisor's code";
    SSS_CHECK_ENABLE = 4 needs SSS_CHECK, "Nested entries guard supervisor shadow stacks";
    VTE_ENABLE = 5 needs VTE, "Virtual transparent encryption";
    ROGPT_ENABLE = 6 needs ROGPT, "Guest page tables may be in nested read-only pages";
    INVLPGB_TLBSYNC_ENABLE = 7 needs TLB_ICTL, "The guest may execute INVLPGB and TLBSYNC";

    /// Bits of [`super::Control::avic_apic_bar`] (098h, APM 15.29).
    pub mod avic_bar: u64;
    V_APIC_BAR = 51:0, "Guest-physical address of the APIC";

    /// Bits of [`super::Control::avic_backing_page`] (0E0h) and of
    /// [`super::Control::avic_logical_table`] (0F0h).
    pub mod avic_page: u64;
    PAGE = 51:12, "Physical address of the page, its low 12 bits omitted";

    /// Bits of [`super::Control::avic_physical_table`] (0F8h).
    pub mod avic_physical: u64;
    AVIC_PHYSICAL_MAX_INDEX = 11:0, "Index of the table's last entry";
    AVIC_PHYSICAL_TABLE_PTR = 51:12, "Physical address of the table, its low 12 bits omitted";

    /// Bits of [`super::Control::virtualization_control`] (0B8h).
    pub mod virtualization: u64;
    LBR_VIRTUALIZATION_ENABLE = 0 needs LBR_VIRT, "VMRUN and #VMEXIT switch the last-branch records";
    VIRTUAL_VMLOAD_VMSAVE_ENABLE = 1 needs VIRT_VMSAVE, "VMLOAD and VMSAVE of the guest need no exit";
    IBS_VIRTUALIZATION_ENABLE = 2 needs IBS_VIRT, "Instruction-based sampling is the guest's";
    PMC_VIRTUALIZATION_ENABLE = 3 needs PMC_VIRT, "Performance counters are the guest's";

    /// Bits of [`super::Control::clean`] (0C0h, APM 15.15): what is as it was at the last VMRUN.
    pub mod clean: u32;
    I = 0 needs VMCB_CLEAN, "Intercepts, TSC offset, pause filter";
    IOPM = 1 needs VMCB_CLEAN, "Addresses of the permission maps";
    ASID = 2 needs VMCB_CLEAN, "ASID";
    TPR = 3 needs VMCB_CLEAN, "V_TPR to V_INTR_VECTOR (060h)";
    NP = 4 needs VMCB_CLEAN, "Nested paging: enable, N_CR3, G_PAT";
    CRX = 5 needs VMCB_CLEAN, "CR0, CR3, CR4, EFER";
    DRX = 6 needs VMCB_CLEAN, "DR6, DR7";
    DT = 7 needs VMCB_CLEAN, "GDTR, IDTR";
    SEG = 8 needs VMCB_CLEAN, "CS, DS, SS, ES, CPL";
    CR2 = 9 needs VMCB_CLEAN, "CR2";
    LBR = 10 needs VMCB_CLEAN, "DBGCTL and the last-branch records";
    AVIC = 11 needs VMCB_CLEAN, "The AVIC fields";
    CET = 12 needs VMCB_CLEAN, "S_CET, SSP, ISST_ADDR";

    /// Bits of [`super::Control::fetched_bytes`] (0D0h, APM 15.8.4).
    pub mod fetched: u8;
    FETCHED = 3:0 needs DECODE_ASSISTS, "How many bytes were fetched, 0 to 15";

    /// Bits of [`super::Control::vmgexit_cpl`] (118h).
    pub mod vmgexit_cpl: u64;
    CPL = 7:0, "The CPL";

    /// Bits of [`super::Control::vmsa_pa`] (108h).
    pub mod vmsa: u64;
    PAGE = 51:12, "Physical address of the page, its low 12 bits omitted";

    /// Bits of [`super::Control::update_irr`] (134h).
    pub mod update_irr: u32;
    UPDATE_IRR = 0, "VMRUN adds REQUESTED_IRR to the guest's interrupts";

    /// Bits of [`super::Control::allowed_sev_features`] (138h, APM 15.36.20).
    pub mod allowed_features: u64;
    ALLOWED_SEV_FEATURES_MASK = 61:0, "The features that the guest may have, a bit each";
    ALLOWED_SEV_FEATURES_EN = 63, "The mask holds: VMRUN refuses a guest with other features";

    /// Bits of [`super::Control::guest_sev_features`] (140h, APM table B-4).
    pub mod sev_features: u64;
    SNP_ACTIVE = 0, "Its memory is in the reverse map table";
    VTOM = 1, "Memory below the virtual top of memory is encrypted";
    REFLECT_VC = 2, "Exits become #VC, whoever caused them";
    RESTRICTED_INJECTION = 3, "No interrupts but #HV";
    ALTERNATE_INJECTION = 4, "Interrupts come from the guest's highest privilege level";
    DEBUG_VIRTUALIZATION = 5, "Debug registers are the guest's";
    PREVENT_HOST_IBS = 6, "No instruction-based sampling by the host";
    BTB_ISOLATION = 7, "The branch target buffer is the guest's own";
    VMPL_SSS = 8, "Supervisor shadow stacks by privilege level";
    SECURE_TSC = 9, "The time-stamp counter is the guest's own";
    VMGEXIT_PARAMETER = 10, "VMGEXIT has a parameter";
    PMC_VIRTUALIZATION = 11, "Performance counters are the guest's";
    IBS_VIRTUALIZATION = 12, "Instruction-based sampling is the guest's";
    GUEST_INTERCEPT_CTL = 13, "The guest intercepts events of its lower privilege levels";
    VMSA_REG_PROT = 14, "Saved registers are masked";
    SMT_PROTECTION = 15, "The sibling thread must be idle";
    SECURE_AVIC = 16, "The APIC's state is protected";
    IBPB_ON_ENTRY = 21, "Branch prediction starts afresh on each entry";
}
