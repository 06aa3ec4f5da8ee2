mod policy {
    use ::intercepts::vmcb::Control;
    use ::intercepts::{ExitCode, Feature};
    use ::vmm_core::devices::DeviceSet;
    use ::vmm_core::{exits, policy};
    /// What `vm.toml` says.
    pub static POLICY: policy::Policy = policy::Policy {
        quantum_us: 500,
        log: policy::LogLevel::Debug,
        offers: &[
            Feature::SVM,
            Feature::NPT,
            Feature::VGIF,
            Feature::RDTSCP,
            Feature::MONITOR,
            Feature::XSAVE,
        ],
        vms: &[
            policy::VmPolicy {
                name: "first",
                protocol: None,
                cmdline: "demo",
                initrd: false,
                modules: &[],
                memory: 64 << 20,
                asid: 2,
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
                tlb: policy::TlbFlush::Auto,
                cpu: policy::CpuModel::Minimal,
                cpuid: &[],
                devices: DeviceSet::PIC
                    .union(DeviceSet::PIT)
                    .union(DeviceSet::UART)
                    .union(DeviceSet::KEYBOARD)
                    .union(DeviceSet::VGA)
                    .union(DeviceSet::RTC),
                init_vmcb: vm0_vmcb,
                dispatch: &VM0_DISPATCH,
                io: &[
                    policy::IoRule {
                        first: 0xf4,
                        last: 0xf4,
                        action: policy::IoAction::Exit,
                    },
                ],
                msrs: &[
                    policy::MsrRule {
                        first: 0xc0000103,
                        last: 0xc0000103,
                        read: policy::MsrAction::Pass,
                        write: policy::MsrAction::Deny,
                    },
                ],
                needs: &[
                    policy::Need {
                        feature: Feature::SVM,
                        origin: "vm.toml:31: [[vm]]",
                    },
                    policy::Need {
                        feature: Feature::NPT,
                        origin: "vm.toml:31: npt = true, by default",
                    },
                ],
            },
            policy::VmPolicy {
                name: "second",
                protocol: None,
                cmdline: "",
                initrd: false,
                modules: &[],
                memory: 32 << 20,
                asid: 1,
                npt: true,
                shadow_tables: 0,
                halted_is_crash: true,
                autostart: true,
                restart: policy::Restart::Never,
                restart_limit: 0,
                weight: 1,
                counters: policy::Counters::Totals,
                ticks: policy::Ticks::CatchUp,
                trace: 0,
                tlb: policy::TlbFlush::Auto,
                cpu: policy::CpuModel::Minimal,
                cpuid: &[],
                devices: DeviceSet::empty(),
                init_vmcb: vm1_vmcb,
                dispatch: &VM1_DISPATCH,
                io: &[
                    policy::IoRule {
                        first: 0x220,
                        last: 0x22f,
                        action: policy::IoAction::Pass,
                    },
                ],
                msrs: &[],
                needs: &[
                    policy::Need {
                        feature: Feature::SVM,
                        origin: "vm.toml:46: [[vm]]",
                    },
                    policy::Need {
                        feature: Feature::NPT,
                        origin: "vm.toml:46: npt = true, by default",
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
                line: 5,
                to: policy::RouteTo::Vm(1),
            },
        ],
    };
    fn vm0_vmcb(control: &mut Control) {
        const CR8_READ: u16 = 1 << 8;
        const DR7_WRITE: u16 = 1 << 7;
        const EXCEPTION_DE: u32 = 1 << 0;
        const EXCEPTION_DB: u32 = 1 << 1;
        const EXCEPTION_BP: u32 = 1 << 3;
        const EXCEPTION_PF: u32 = 1 << 14;
        const EXCEPTION_AC: u32 = 1 << 17;
        const EXCEPTION_MC: u32 = 1 << 18;
        const INTR: u32 = 1 << 0;
        const NMI: u32 = 1 << 1;
        const INIT: u32 = 1 << 3;
        const VINTR: u32 = 1 << 4;
        const GDTR_READ: u32 = 1 << 7;
        const RDTSC: u32 = 1 << 14;
        const RDPMC: u32 = 1 << 15;
        const CPUID: u32 = 1 << 18;
        const RSM: u32 = 1 << 19;
        const SWINT: u32 = 1 << 21;
        const INVD: u32 = 1 << 22;
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
        const WBINVD: u32 = 1 << 9;
        const XSETBV: u32 = 1 << 13;
        control.intercept_cr_read = CR8_READ;
        control.intercept_dr_write = DR7_WRITE;
        control.intercept_exceptions = EXCEPTION_DE | EXCEPTION_DB | EXCEPTION_BP
            | EXCEPTION_PF | EXCEPTION_AC | EXCEPTION_MC;
        control.intercept_misc1 = INTR | NMI | INIT | VINTR | GDTR_READ | RDTSC | RDPMC
            | CPUID | RSM | SWINT | INVD | HLT | INVLPGA | IOIO | MSR | TASK_SWITCH
            | FERR_FREEZE | SHUTDOWN;
        control.intercept_misc2 = VMRUN | VMMCALL | VMLOAD | VMSAVE | STGI | CLGI
            | SKINIT | WBINVD | XSETBV;
        control.tsc_offset = 0xfffffffffffffc18;
        control.guest_asid = 0x2;
        control.nested_control = 0x1;
    }
    static VM0_DISPATCH: policy::Dispatch = policy::Dispatch::empty()
        .with(ExitCode::Cr8Read, exits::deny::ud)
        .with(ExitCode::Dr7Write, exits::deny::ud)
        .with(ExitCode::ExceptionDe, vm0_exception_de)
        .with(ExitCode::ExceptionDb, exits::exception::reflect)
        .with(ExitCode::ExceptionBp, vm0_exception_bp)
        .with(ExitCode::ExceptionPf, exits::exception::reflect)
        .with(ExitCode::ExceptionAc, exits::exception::reflect)
        .with(ExitCode::ExceptionMc, exits::stop::stop)
        .with(ExitCode::Intr, exits::interrupt::emulate)
        .with(ExitCode::Nmi, exits::interrupt::emulate)
        .with(ExitCode::Init, exits::stop::stop)
        .with(ExitCode::Vintr, exits::interrupt::emulate)
        .with(ExitCode::GdtrRead, exits::stop::stop)
        .with(ExitCode::Rdtsc, vm0_rdtsc)
        .with(ExitCode::Rdpmc, exits::deny::gp)
        .with(ExitCode::Cpuid, exits::cpuid::emulate)
        .with(ExitCode::Rsm, exits::deny::ud)
        .with(ExitCode::Swint, vm0_swint)
        .with(ExitCode::Invd, exits::cache::emulate)
        .with(ExitCode::Hlt, exits::hlt::wait)
        .with(ExitCode::Invlpga, exits::deny::ud)
        .with(ExitCode::Ioio, exits::io::float)
        .with(ExitCode::Msr, exits::deny::gp)
        .with(ExitCode::TaskSwitch, exits::task::emulate)
        .with(ExitCode::FerrFreeze, exits::interrupt::emulate)
        .with(ExitCode::Shutdown, exits::stop::stop)
        .with(ExitCode::Vmrun, vm0_vmrun)
        .with(ExitCode::Vmmcall, exits::vmmcall::hypercall)
        .with(ExitCode::Vmload, exits::deny::ud)
        .with(ExitCode::Vmsave, exits::svm::emulate)
        .with(ExitCode::Stgi, exits::deny::ud)
        .with(ExitCode::Clgi, exits::deny::ud)
        .with(ExitCode::Skinit, exits::deny::ud)
        .with(ExitCode::Wbinvd, vm0_wbinvd)
        .with(ExitCode::Xsetbv, exits::deny::ud)
        .with(ExitCode::Npf, exits::npf::emulate)
        .with(ExitCode::InvalidPmc, exits::invalid::stop)
        .with(ExitCode::IdleRequired, exits::invalid::stop)
        .with(ExitCode::Busy, exits::invalid::stop)
        .with(ExitCode::Invalid, exits::invalid::stop);
    fn vm0_exception_de(
        vcpu: &mut ::vmm_core::vm::Vcpu,
        vm: &mut ::vmm_core::vm::Vm,
    ) -> exits::Outcome {
        exits::log::entry(vcpu, vm);
        exits::exception::reflect(vcpu, vm)
    }
    fn vm0_exception_bp(
        vcpu: &mut ::vmm_core::vm::Vcpu,
        vm: &mut ::vmm_core::vm::Vm,
    ) -> exits::Outcome {
        exits::inject::exception(vcpu, vm, 13, Some(0x0))
    }
    fn vm0_rdtsc(
        vcpu: &mut ::vmm_core::vm::Vcpu,
        vm: &mut ::vmm_core::vm::Vm,
    ) -> exits::Outcome {
        exits::log::entry(vcpu, vm);
        crate::handlers::slow_tsc(vcpu, vm)
    }
    fn vm0_swint(
        vcpu: &mut ::vmm_core::vm::Vcpu,
        vm: &mut ::vmm_core::vm::Vm,
    ) -> exits::Outcome {
        exits::inject::exception(vcpu, vm, 13, Some(0x0))
    }
    fn vm0_vmrun(
        vcpu: &mut ::vmm_core::vm::Vcpu,
        vm: &mut ::vmm_core::vm::Vm,
    ) -> exits::Outcome {
        exits::inject::exception(vcpu, vm, 6, None)
    }
    fn vm0_wbinvd(
        vcpu: &mut ::vmm_core::vm::Vcpu,
        vm: &mut ::vmm_core::vm::Vm,
    ) -> exits::Outcome {
        exits::log::entry(vcpu, vm);
        exits::cache::emulate(vcpu, vm)
    }
    fn vm1_vmcb(control: &mut Control) {
        const EXCEPTION_DB: u32 = 1 << 1;
        const EXCEPTION_AC: u32 = 1 << 17;
        const EXCEPTION_MC: u32 = 1 << 18;
        const INTR: u32 = 1 << 0;
        const NMI: u32 = 1 << 1;
        const INIT: u32 = 1 << 3;
        const VINTR: u32 = 1 << 4;
        const CPUID: u32 = 1 << 18;
        const RSM: u32 = 1 << 19;
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
        control.intercept_exceptions = EXCEPTION_DB | EXCEPTION_AC | EXCEPTION_MC;
        control.intercept_misc1 = INTR | NMI | INIT | VINTR | CPUID | RSM | INVD | PAUSE
            | HLT | INVLPGA | IOIO | MSR | TASK_SWITCH | FERR_FREEZE | SHUTDOWN;
        control.intercept_misc2 = VMRUN | VMMCALL | VMLOAD | VMSAVE | STGI | CLGI
            | SKINIT | XSETBV;
        control.guest_asid = 0x1;
        control.nested_control = 0x1;
    }
    static VM1_DISPATCH: policy::Dispatch = policy::Dispatch::empty()
        .with(ExitCode::ExceptionDb, exits::exception::reflect)
        .with(ExitCode::ExceptionAc, exits::exception::reflect)
        .with(ExitCode::ExceptionMc, exits::stop::stop)
        .with(ExitCode::Intr, exits::interrupt::emulate)
        .with(ExitCode::Nmi, exits::interrupt::emulate)
        .with(ExitCode::Init, exits::stop::stop)
        .with(ExitCode::Vintr, exits::interrupt::emulate)
        .with(ExitCode::Cpuid, exits::cpuid::emulate)
        .with(ExitCode::Rsm, exits::deny::ud)
        .with(ExitCode::Invd, exits::cache::emulate)
        .with(ExitCode::Pause, exits::stop::stop)
        .with(ExitCode::Hlt, exits::stop::stop)
        .with(ExitCode::Invlpga, exits::deny::ud)
        .with(ExitCode::Ioio, exits::io::emulate)
        .with(ExitCode::Msr, exits::msr::emulate)
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
}
pub use policy::POLICY;
