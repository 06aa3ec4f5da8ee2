//! The Rust that a policy becomes: one static, and what it points at.
//!
//! The proc-macro gives it to the compiler; with the feature `text`, the tools show it to
//! people. What the policy means is decided before, in `vmm-config`.

mod dispatch;
mod rules;
#[cfg(feature = "text")]
mod text;
mod vmcb;

#[cfg(feature = "text")]
pub use text::text;

use std::fmt::Debug;

use intercepts::Feature;
use proc_macro2::{Ident, Literal, TokenStream};
use quote::{format_ident, quote};
use vmm_config::Lowered;
use vmm_config::lowered::{Need, Owner, Route, Vm};
use vmm_config::words::{Flush, Halted, Protocol, Word};

/// `POLICY`, in a module with everything it refers to.
pub fn policy(lowered: &Lowered) -> TokenStream {
    let quantum_us = rules::decimal(lowered.quantum_us);
    let log = variant(lowered.log);
    let functions = lowered.vms.iter().enumerate().map(|(index, vm)| {
        let init = vmcb::init(index, vm);
        let table = dispatch::table(index, vm);
        quote! { #init #table }
    });
    let file = file_name(lowered);
    let vms = lowered
        .vms
        .iter()
        .enumerate()
        .map(|(index, vm)| vm_policy(index, vm, file));
    let routes = lowered.routes.iter().map(route);
    let offers = lowered.machine.features.iter().copied().flatten();
    let offers = offers.chain(&lowered.features).copied().map(feature);
    let doc = format!(" What `{file}` says.");
    quote! {
        mod policy {
            use ::intercepts::vmcb::Control;
            use ::intercepts::{ExitCode, Feature};
            use ::vmm_core::devices::DeviceSet;
            use ::vmm_core::{exits, policy};

            #[doc = #doc]
            pub static POLICY: policy::Policy = policy::Policy {
                quantum_us: #quantum_us,
                log: policy::LogLevel::#log,
                offers: &[#(#offers),*],
                vms: &[#(#vms),*],
                routes: &[#(#routes),*],
            };

            #(#functions)*
        }
        pub use policy::POLICY;
    }
}

/// The identifier of a variant that has the same name on both sides.
fn variant(of: impl Debug) -> Ident {
    format_ident!("{}", format!("{of:?}"))
}

/// The file without its folder, so that the same policy gives the same bytes anywhere.
fn file_name(lowered: &Lowered) -> &str {
    let name = &*lowered.source.name;
    name.rsplit(['/', '\\']).next().unwrap_or(name)
}

fn vm_policy(index: usize, vm: &Vm, file: &str) -> TokenStream {
    let (name, cmdline) = (&vm.name, &vm.cmdline);
    let protocol = match vm.protocol {
        Protocol::Auto => quote! { None },
        other => {
            let protocol = variant(other);
            quote! { Some(policy::Protocol::#protocol) }
        }
    };
    let initrd = vm.initrd.is_some();
    let modules = vm.modules.iter().map(|module| &module.string);
    let shadow_tables = memory(vm.shadow_tables);
    let (memory, asid, npt) = (memory(vm.memory), rules::decimal(vm.asid), vm.npt);
    let halted_is_crash = vm.halted == Halted::Crash;
    let autostart = vm.autostart;
    let restart = variant(vm.restart);
    let restart_limit = rules::decimal(vm.restart_limit);
    let weight = rules::decimal(vm.weight);
    let counters = variant(vm.counters);
    let ticks = variant(vm.ticks);
    let trace = rules::decimal(vm.trace);
    let devices = devices(vm);
    let init = vmcb::name(index);
    let dispatch = dispatch::name(index);
    let io = vm.io.iter().map(rules::io);
    let msrs = vm.msrs.iter().map(rules::msr);
    let tlb = tlb(vm.tlb);
    let cpu = variant(vm.cpu);
    let cpuid = vm.cpuid.iter().map(rules::cpuid);
    let needs = vm.needs.iter().map(|wanted| need(wanted, file));
    quote! {
        policy::VmPolicy {
            name: #name,
            protocol: #protocol,
            cmdline: #cmdline,
            initrd: #initrd,
            modules: &[#(#modules),*],
            memory: #memory,
            asid: #asid,
            npt: #npt,
            shadow_tables: #shadow_tables,
            halted_is_crash: #halted_is_crash,
            autostart: #autostart,
            restart: policy::Restart::#restart,
            restart_limit: #restart_limit,
            weight: #weight,
            counters: policy::Counters::#counters,
            ticks: policy::Ticks::#ticks,
            trace: #trace,
            tlb: #tlb,
            cpu: policy::CpuModel::#cpu,
            cpuid: &[#(#cpuid),*],
            devices: #devices,
            init_vmcb: #init,
            dispatch: &#dispatch,
            io: &[#(#io),*],
            msrs: &[#(#msrs),*],
            needs: &[#(#needs),*],
        }
    }
}

/// Bytes, in MiB where it is a whole number of them.
fn memory(bytes: u64) -> TokenStream {
    if bytes == 0 {
        quote! { 0 }
    } else if bytes.is_multiple_of(1 << 20) {
        let mib = rules::decimal(bytes >> 20);
        quote! { #mib << 20 }
    } else {
        let kib = rules::decimal(bytes >> 10);
        quote! { #kib << 10 }
    }
}

fn tlb(flush: Flush) -> TokenStream {
    let flush = variant(flush);
    quote! { policy::TlbFlush::#flush }
}

/// The devices as one constant expression.
fn devices(vm: &Vm) -> TokenStream {
    let mut devices = vm
        .devices
        .iter()
        .map(|device| format_ident!("{}", device.name().to_uppercase()));
    match devices.next() {
        None => quote! { DeviceSet::empty() },
        Some(first) => quote! { DeviceSet::#first #(.union(DeviceSet::#devices))* },
    }
}

fn need(need: &Need, file: &str) -> TokenStream {
    let feature = feature(need.feature);
    let origin = format!("{file}:{}: {}", need.origin.line, need.origin.text);
    quote! { policy::Need { feature: #feature, origin: #origin } }
}

fn feature(feature: Feature) -> TokenStream {
    let name = format_ident!("{}", feature.name.to_uppercase().replace('-', "_"));
    quote! { Feature::#name }
}

fn route(route: &Route) -> TokenStream {
    let line = rules::decimal(route.line);
    let to = match route.to {
        Owner::Vm(index) => {
            let index = Literal::usize_unsuffixed(index);
            quote! { policy::RouteTo::Vm(#index) }
        }
        Owner::Vmm => quote! { policy::RouteTo::Vmm },
        Owner::Focus => quote! { policy::RouteTo::Focus },
    };
    quote! { policy::Route { line: #line, to: #to } }
}

#[cfg(test)]
mod tests;
