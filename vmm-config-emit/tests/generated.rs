//! The generated code, compiled against the VMM and run.

use intercepts::vmcb::{self, Vmcb};
use intercepts::{ExitCode, Feature};
use vmm_core::devices::DeviceSet;
use vmm_core::policy::{IoAction, LogLevel, MsrAction, RouteTo};

/// What `boot/src/handlers.rs` is to the real policy.
mod handlers {
    use vmm_core::exits::{self, Outcome};
    use vmm_core::vm::{Vcpu, Vm};

    pub fn slow_tsc(vcpu: &mut Vcpu, vm: &mut Vm) -> Outcome {
        exits::tsc::emulate(vcpu, vm)
    }
}

include!("generated/every_answer.rs");

/// The VMCB that the policy makes of zeroes for a VM.
fn vmcb_of(vm: usize) -> Vmcb {
    let mut vmcb = Vmcb::zeroed();
    (POLICY.vms[vm].init_vmcb)(&mut vmcb.control);
    vmcb
}

#[test]
fn the_policy_holds_what_the_file_says() {
    assert_eq!((POLICY.quantum_us, POLICY.log), (500, LogLevel::Debug));
    let [first, second] = POLICY.vms else {
        panic!("{} VMs", POLICY.vms.len())
    };
    assert_eq!(
        (first.name, first.cmdline, first.memory),
        ("first", "demo", 64 << 20)
    );
    assert_eq!(
        (first.devices, first.halted_is_crash),
        (DeviceSet::all(), false)
    );
    assert_eq!(
        (second.devices, second.halted_is_crash),
        (DeviceSet::empty(), true)
    );
    assert_eq!((first.asid, second.asid), (2, 1));
}

#[test]
fn port_and_msr_rules_and_routes_arrive() {
    let [io] = POLICY.vms[0].io else {
        panic!("one rule")
    };
    assert_eq!((io.first, io.last, io.action), (0xf4, 0xf4, IoAction::Exit));
    let [msr] = POLICY.vms[0].msrs else {
        panic!("one rule")
    };
    assert_eq!((msr.first, msr.last), (0xc000_0103, 0xc000_0103));
    assert_eq!((msr.read, msr.write), (MsrAction::Pass, MsrAction::Deny));
    let routes: Vec<_> = POLICY
        .routes
        .iter()
        .map(|route| (route.line, route.to))
        .collect();
    assert_eq!(routes, [(1, RouteTo::Vmm), (5, RouteTo::Vm(1))]);
}

#[test]
fn the_vmcb_has_the_intercepts_and_the_fields() {
    let first = vmcb_of(0);
    for code in [
        ExitCode::Cr8Read,
        ExitCode::Dr7Write,
        ExitCode::ExceptionPf,
        ExitCode::Cpuid,
        ExitCode::Vmrun,
        ExitCode::Shutdown,
    ] {
        assert!(vmcb::intercepts(&first, code), "{code:?}");
    }
    for code in [ExitCode::Cr8Write, ExitCode::Dr7Read, ExitCode::Pause] {
        assert!(!vmcb::intercepts(&first, code), "{code:?}");
    }
    assert_eq!(
        (first.control.guest_asid, first.control.nested_control),
        (2, 1)
    );
    assert_eq!(first.control.tsc_offset as i64, -1000);
    assert!(vmcb::intercepts(&vmcb_of(1), ExitCode::Pause));
}

#[test]
fn what_the_cpu_must_offer_is_named_with_its_origin() {
    let needs: Vec<_> = POLICY.vms[0]
        .needs
        .iter()
        .map(|need| need.feature)
        .collect();
    assert_eq!(needs, [Feature::SVM, Feature::NPT]);
    assert!(POLICY.vms[0].needs[0].origin.starts_with("vm.toml:"));
}
