mod policy {
    use ::intercepts::vmcb::Control;
    use ::intercepts::{ExitCode, Feature};
    use ::vmm_core::devices::DeviceSet;
    use ::vmm_core::{exits, policy};
    /// What `vm.toml` says.
    pub static POLICY: policy::Policy = policy::Policy {
        quantum_us: 10000,
        log: policy::LogLevel::Info,
        offers: &[
            Feature::SVM,
            Feature::NPT,
            Feature::VGIF,
            Feature::RDTSCP,
            Feature::MONITOR,
            Feature::XSAVE,
            Feature::VMCB_CLEAN,
        ],
        vms: &[
            policy::VmPolicy {
                name: "third",
                protocol: Some(policy::Protocol::Linux64),
                cmdline: "",
                initrd: true,
                modules: &["./file with words"],
                memory: 16 << 20,
                asid: 1,
                npt: true,
                shadow_tables: 0,
                halted_is_crash: false,
                autostart: true,
                restart: policy::Restart::Never,
                restart_limit: 0,
                weight: 1,
                counters: policy::Counters::Totals,
                ticks: policy::Ticks::CatchUp,
                trace: 0,
                tlb: policy::TlbFlush::All,
                cpu: policy::CpuModel::Host,
                cpuid: &[
                    policy::CpuidRule {
                        leaf: 0x1,
                        subleaf: 0x0,
                        keep: [0xffffffff, 0xffffffff, 0x7dfffffe, 0xffffffff],
                        host: [0x0, 0x0, 0x2000000, 0x0],
                        set: [0x0, 0x0, 0x80000000, 0x0],
                    },
                    policy::CpuidRule {
                        leaf: 0x40000000,
                        subleaf: 0x0,
                        keep: [0x0, 0x0, 0xffffffff, 0xffffffff],
                        host: [0x0, 0x0, 0x0, 0x0],
                        set: [0x40000000, 0x6c6c6f54, 0x0, 0x0],
                    },
                ],
                devices: DeviceSet::PIC
                    .union(DeviceSet::PIT)
                    .union(DeviceSet::UART)
                    .union(DeviceSet::KEYBOARD)
                    .union(DeviceSet::VGA)
                    .union(DeviceSet::RTC),
                init_vmcb: vm0_vmcb,
                dispatch: &VM0_DISPATCH,
                io: &[],
                msrs: &[
                    policy::MsrRule {
                        first: 0xc0010015,
                        last: 0xc0010015,
                        read: policy::MsrAction::Ignore,
                        write: policy::MsrAction::Emulate,
                    },
                ],
                needs: &[
                    policy::Need {
                        feature: Feature::SVM,
                        origin: "vm.toml:8: [[vm]]",
                    },
                    policy::Need {
                        feature: Feature::NPT,
                        origin: "vm.toml:8: npt = true, by default",
                    },
                ],
            },
        ],
        routes: &[
            policy::Route {
                line: 1,
                to: policy::RouteTo::Vmm,
            },
            policy::Route {
                line: 4,
                to: policy::RouteTo::Vmm,
            },
        ],
    };
    fn vm0_vmcb(control: &mut Control) {
        const EXCEPTION_DB: u32 = 1 << 1;
        const EXCEPTION_PF: u32 = 1 << 14;
        const EXCEPTION_AC: u32 = 1 << 17;
        const EXCEPTION_MC: u32 = 1 << 18;
        const INTR: u32 = 1 << 0;
        const NMI: u32 = 1 << 1;
        const INIT: u32 = 1 << 3;
        const VINTR: u32 = 1 << 4;
        const RDTSC: u32 = 1 << 14;
        const CPUID: u32 = 1 << 18;
        const RSM: u32 = 1 << 19;
        const SWINT: u32 = 1 << 21;
        const INVD: u32 = 1 << 22;
        const PAUSE: u32 = 1 << 23;
        const HLT: u32 = 1 << 24;
        const INVLPGA: u32 = 1 << 26;
        const IOIO: u32 = 1 << 27;
        const MSR: u32 = 1 << 28;
        const TASK_SWITCH: u32 = 1 << 29;
        const FERR_FREEZE: u32 = 1 << 30;
        const SHUTDOWN: u32 = 1 << 31;
        const VMRUN: u32 = 1 << 0;
        const VMMCALL: u32 = 1 << 1;
        const VMLOAD: u32 = 1 << 2;
        const VMSAVE: u32 = 1 << 3;
        const STGI: u32 = 1 << 4;
        const CLGI: u32 = 1 << 5;
        const SKINIT: u32 = 1 << 6;
        const XSETBV: u32 = 1 << 13;
        control.intercept_exceptions = EXCEPTION_DB | EXCEPTION_PF | EXCEPTION_AC
            | EXCEPTION_MC;
        control.intercept_misc1 = INTR | NMI | INIT | VINTR | RDTSC | CPUID | RSM | SWINT
            | INVD | PAUSE | HLT | INVLPGA | IOIO | MSR | TASK_SWITCH | FERR_FREEZE
            | SHUTDOWN;
        control.intercept_misc2 = VMRUN | VMMCALL | VMLOAD | VMSAVE | STGI | CLGI
            | SKINIT | XSETBV;
        control.guest_asid = 0x1;
        control.nested_control = 0x1;
    }
    static VM0_DISPATCH: policy::Dispatch = policy::Dispatch::empty()
        .with(ExitCode::ExceptionDb, exits::exception::reflect)
        .with(ExitCode::ExceptionPf, vm0_exception_pf)
        .with(ExitCode::ExceptionAc, exits::exception::reflect)
        .with(ExitCode::ExceptionMc, exits::stop::stop)
        .with(ExitCode::Intr, exits::interrupt::emulate)
        .with(ExitCode::Nmi, exits::interrupt::emulate)
        .with(ExitCode::Init, exits::stop::stop)
        .with(ExitCode::Vintr, exits::interrupt::emulate)
        .with(ExitCode::Rdtsc, vm0_rdtsc)
        .with(ExitCode::Cpuid, vm0_cpuid)
        .with(ExitCode::Rsm, exits::deny::ud)
        .with(ExitCode::Swint, vm0_swint)
        .with(ExitCode::Invd, exits::cache::emulate)
        .with(ExitCode::Pause, exits::stop::stop)
        .with(ExitCode::Hlt, exits::hlt::wait)
        .with(ExitCode::Invlpga, exits::deny::ud)
        .with(ExitCode::Ioio, vm0_ioio)
        .with(ExitCode::Msr, vm0_msr)
        .with(ExitCode::TaskSwitch, exits::task::emulate)
        .with(ExitCode::FerrFreeze, exits::interrupt::emulate)
        .with(ExitCode::Shutdown, exits::stop::stop)
        .with(ExitCode::Vmrun, exits::deny::ud)
        .with(ExitCode::Vmmcall, exits::vmmcall::hypercall)
        .with(ExitCode::Vmload, exits::deny::ud)
        .with(ExitCode::Vmsave, exits::deny::ud)
        .with(ExitCode::Stgi, exits::deny::ud)
        .with(ExitCode::Clgi, exits::deny::ud)
        .with(ExitCode::Skinit, exits::deny::ud)
        .with(ExitCode::Xsetbv, exits::deny::ud)
        .with(ExitCode::Npf, exits::npf::emulate)
        .with(ExitCode::InvalidPmc, exits::invalid::stop)
        .with(ExitCode::IdleRequired, exits::invalid::stop)
        .with(ExitCode::Busy, exits::invalid::stop)
        .with(ExitCode::Invalid, exits::invalid::stop);
    fn vm0_exception_pf(
        vcpu: &mut ::vmm_core::vm::Vcpu,
        vm: &mut ::vmm_core::vm::Vm,
    ) -> exits::Outcome {
        if (0x0..=0xfff).contains(&exits::when::address(vcpu))
            && (0x4..=0x7).contains(&exits::when::error_code(vcpu))
        {
            return exits::stop::stop(vcpu, vm);
        }
        exits::exception::reflect(vcpu, vm)
    }
    fn vm0_rdtsc(
        vcpu: &mut ::vmm_core::vm::Vcpu,
        vm: &mut ::vmm_core::vm::Vm,
    ) -> exits::Outcome {
        if exits::limit::is_past(vm, ExitCode::Rdtsc, 1000) {
            return exits::limit::pass(vcpu, ExitCode::Rdtsc);
        }
        exits::tsc::emulate(vcpu, vm)
    }
    fn vm0_cpuid(
        vcpu: &mut ::vmm_core::vm::Vcpu,
        vm: &mut ::vmm_core::vm::Vm,
    ) -> exits::Outcome {
        if exits::when::cpl(vcpu) == 0x0
            && (0x40000000..=0x400000ff).contains(&exits::when::leaf(vcpu))
        {
            return exits::cpuid::by_rules(vcpu, vm);
        }
        if exits::when::rip(vcpu) == 0x1000 {
            exits::log::entry(vcpu, vm);
            return crate::handlers::slow_tsc(vcpu, vm);
        }
        if exits::when::leaf(vcpu) == 0xffffffff {
            return exits::inject::exception(vcpu, vm, 6, None);
        }
        exits::cpuid::by_rules(vcpu, vm)
    }
    fn vm0_swint(
        vcpu: &mut ::vmm_core::vm::Vcpu,
        vm: &mut ::vmm_core::vm::Vm,
    ) -> exits::Outcome {
        if (0x80..=0x8f).contains(&exits::when::int(vcpu, vm)) {
            exits::log::entry(vcpu, vm);
            return exits::swint::deliver(vcpu, vm);
        }
        if exits::when::int(vcpu, vm) == 0x3 {
            return exits::stop::stop(vcpu, vm);
        }
        exits::swint::deliver(vcpu, vm)
    }
    fn vm0_ioio(
        vcpu: &mut ::vmm_core::vm::Vcpu,
        vm: &mut ::vmm_core::vm::Vm,
    ) -> exits::Outcome {
        if exits::limit::is_past(vm, ExitCode::Ioio, 5000000) {
            return exits::limit::stop(vcpu, vm, ExitCode::Ioio, 5000000);
        }
        if (0x60..=0x64).contains(&exits::when::port(vcpu)) && !exits::when::is_out(vcpu)
        {
            exits::log::entry(vcpu, vm);
            return exits::io::emulate(vcpu, vm);
        }
        if exits::when::is_out(vcpu) {
            return exits::io::float(vcpu, vm);
        }
        exits::io::emulate(vcpu, vm)
    }
    fn vm0_msr(
        vcpu: &mut ::vmm_core::vm::Vcpu,
        vm: &mut ::vmm_core::vm::Vm,
    ) -> exits::Outcome {
        if exits::when::msr(vcpu) == 0xc0000080 && exits::when::is_wrmsr(vcpu) {
            return exits::stop::stop(vcpu, vm);
        }
        exits::log::entry(vcpu, vm);
        exits::msr::by_rules(vcpu, vm)
    }
}
pub use policy::POLICY;
