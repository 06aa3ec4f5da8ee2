//! What several tests need.

use intercepts::vmcb::Vmcb;
use vmm_config::lowered::Vm;

/// The VMCB that a VM starts with: the policy's fields, and a guest state that VMRUN accepts.
pub fn vmcb(vm: &Vm) -> Vmcb {
    let mut vmcb = Vmcb::zeroed();
    for field in &vm.vmcb {
        let control = &mut vmcb.control;
        match field.field.name {
            "intercept_cr_read" => control.intercept_cr_read = field.value as u16,
            "intercept_cr_write" => control.intercept_cr_write = field.value as u16,
            "intercept_dr_read" => control.intercept_dr_read = field.value as u16,
            "intercept_dr_write" => control.intercept_dr_write = field.value as u16,
            "intercept_exceptions" => control.intercept_exceptions = field.value as u32,
            "intercept_misc1" => control.intercept_misc1 = field.value as u32,
            "intercept_misc2" => control.intercept_misc2 = field.value as u32,
            "intercept_misc3" => control.intercept_misc3 = field.value as u32,
            "pause_filter_count" => control.pause_filter_count = field.value as u16,
            "pause_filter_threshold" => control.pause_filter_threshold = field.value as u16,
            "guest_asid" => control.guest_asid = field.value as u32,
            "tsc_offset" => control.tsc_offset = field.value,
            "nested_control" => control.nested_control = field.value,
            other => panic!("a policy does not decide `{other}`"),
        }
    }
    vmcb.save.efer = 1 << 12;
    vmcb.save.cr0 = 0x11;
    vmcb.save.g_pat = 0x0007_0406_0007_0406;
    vmcb
}
