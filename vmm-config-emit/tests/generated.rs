//! The generated code, compiled against the VMM and run.

use intercepts::vmcb::{self, Vmcb};
use intercepts::{ExitCode, Feature};
use vmm_core::devices::DeviceSet;
use vmm_core::policy::{IoAction, LogLevel, MsrAction, Protocol, RouteTo, TlbFlush};

/// What `boot/src/handlers.rs` is to the real policy.
mod handlers {
    use vmm_core::exits::{self, Outcome};
    use vmm_core::vm::{Vcpu, Vm};

    pub fn slow_tsc(vcpu: &mut Vcpu, vm: &mut Vm) -> Outcome {
        exits::tsc::emulate(vcpu, vm)
    }
}

include!("generated/every_answer.rs");

/// A second policy, beside the one above.
mod rules {
    include!("generated/every_rule.rs");
}

/// The VMCB that the policy makes of zeroes for a VM.
fn vmcb_of(vm: usize) -> Vmcb {
    let mut vmcb = Vmcb::zeroed();
    (POLICY.vms[vm].init_vmcb)(&mut vmcb.control);
    vmcb
}

#[test]
fn the_policy_holds_what_the_file_says() {
    assert_eq!((POLICY.quantum_us, POLICY.log), (500, LogLevel::Debug));
    let offers = |feature| POLICY.offers.contains(&feature);
    assert!(offers(Feature::NPT) && !offers(Feature::NRIP), "qemu-tcg");
    let [first, second] = POLICY.vms else {
        panic!("{} VMs", POLICY.vms.len())
    };
    assert_eq!(
        (first.name, first.cmdline, first.memory),
        ("first", "demo", 64 << 20)
    );
    assert_eq!(
        (first.devices, first.halted_is_crash),
        (DeviceSet::PC, false)
    );
    assert_eq!(
        (second.devices, second.halted_is_crash),
        (DeviceSet::empty(), true)
    );
    assert_eq!((first.asid, second.asid), (2, 1));
    let flushes = (first.tlb, rules::POLICY.vms[0].tlb);
    assert_eq!(flushes, (TlbFlush::Auto, TlbFlush::All));
}

#[test]
fn what_a_kernel_is_started_with_arrives() {
    let (first, third) = (&POLICY.vms[0], &rules::POLICY.vms[0]);
    assert_eq!((first.protocol, first.initrd), (None, false));
    assert_eq!(
        (third.protocol, third.initrd),
        (Some(Protocol::Linux64), true)
    );
    assert_eq!(third.modules, ["./file with words"]);
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
fn the_cpu_model_changes_as_the_file_says() {
    let rules = rules::POLICY.vms[0].cpuid;
    let [features, invented] = rules else {
        panic!("{} rules", rules.len())
    };
    let (sse3, aes, hypervisor) = (1 << 0, 1 << 25, 1 << 31);
    assert_eq!((features.leaf, invented.leaf), (1, 0x4000_0000));
    assert_eq!(!features.keep[2], sse3 | aes | hypervisor);
    assert_eq!((features.host[2], features.set[2]), (aes, hypervisor));
    assert_eq!(invented.keep, [0, 0, u32::MAX, u32::MAX]);
    assert_eq!(invented.set, [0x4000_0000, 0x6c6c_6f54, 0, 0]);
}

/// What `vmm-config` knows of the VMM and cannot read there.
mod agreement {
    use vmm_config::ports::{DEVICE_PORTS, POWER_PORTS};
    use vmm_config::written::CpuidLeaf;
    use vmm_config::{limits, words};
    use vmm_core::devices::{DeviceSet, Devices, UnixTime};
    use vmm_core::vm::cpuid::{CpuidModel, MAX_ADDED};

    /// The devices' ports and the power switch's are exactly what the VMM's devices answer.
    #[test]
    fn the_ports_of_the_devices_are_those_that_the_vmm_answers() {
        use words::Word;
        let is_in = |ports: &[(u16, u16)], port| {
            ports
                .iter()
                .any(|(first, last)| (*first..=*last).contains(&port))
        };
        let ours = |device: &words::Device| match device {
            words::Device::Pic => DeviceSet::PIC,
            words::Device::Pit => DeviceSet::PIT,
            words::Device::Uart => DeviceSet::UART,
            words::Device::Keyboard => DeviceSet::KEYBOARD,
            words::Device::Vga => DeviceSet::VGA,
            words::Device::Rtc => DeviceSet::RTC,
            words::Device::Lapic => DeviceSet::LAPIC,
            words::Device::Ioapic => DeviceSet::IOAPIC,
            words::Device::Pvclock => DeviceSet::PVCLOCK,
            words::Device::Mouse => DeviceSet::MOUSE,
        };
        let sets = words::Device::ALL.iter().map(|device| vec![*device]);
        for set in sets.chain([Vec::new(), words::Device::ALL.to_vec()]) {
            let theirs = set
                .iter()
                .map(ours)
                .fold(DeviceSet::empty(), DeviceSet::union);
            let devices = Devices::new(theirs, 64 << 20, UnixTime(0));
            for port in 0..=u16::MAX {
                let listed = is_in(POWER_PORTS, port)
                    || DEVICE_PORTS
                        .iter()
                        .any(|(device, ports)| set.contains(device) && is_in(ports, port));
                assert_eq!(devices.owns(port), listed, "port {port:#x} with {set:?}");
            }
        }
    }

    #[test]
    fn the_limits_are_the_vmms_own() {
        assert_eq!(limits::VMS, vmm_core::MAX_VMS);
        assert_eq!(limits::CPUID_LEAVES, MAX_ADDED);
    }

    #[test]
    fn the_leaves_of_the_cpu_model_are_those_of_the_vmm() {
        let model = CpuidModel::minimal(|_| [u32::MAX; 4]);
        for leaf in (0..0x20)
            .chain(0x4000_0000..0x4000_0010)
            .chain(0x8000_0000..0x8000_0030)
        {
            let is_known = vmm_config::is_of_cpu_model(CpuidLeaf { leaf, subleaf: 0 });
            assert!(is_known || model.leaf(leaf) == [0; 4], "{leaf:#x}");
        }
        for largest in [0, 0x8000_0000] {
            let last = model.leaf(largest)[0];
            assert!(vmm_config::is_of_cpu_model(CpuidLeaf {
                leaf: last,
                subleaf: 0
            }));
            assert!(!vmm_config::is_of_cpu_model(CpuidLeaf {
                leaf: last + 1,
                subleaf: 0
            }));
        }
    }
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
