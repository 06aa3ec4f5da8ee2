//! Tests that start machines, under `cargo test`.
//!
//! Each is named by what it promises and runs the program `vmm` as a person
//! would. What the machine lacks is installed first, as it would be for that
//! person. Two run at a time: a machine is a busy processor.

mod bad_guests;
mod bad_input;
mod bare_machine;
mod beyond_qemu;
mod binary;
mod browser;
mod carried;
#[path = "../../../vmm-config/tests/change/mod.rs"]
mod change;
mod cleaning_up;
mod command_line;
mod comparing;
mod counting;
mod debugging;
mod deeds;
mod denials;
mod editor;
mod first_entry;
mod foreign;
mod gdb;
mod hardware;
mod harness;
mod images;
mod in_a_vm;
mod in_the_vmm;
mod interrupts;
mod isolation;
mod lab_pages;
mod ledger;
mod machines;
mod modes;
mod modules;
mod mutants;
mod neighbours;
mod on_a_terminal;
mod overhead;
mod page_keys;
mod page_looks;
mod paging_costs;
mod pictures;
mod policies;
mod refusals;
mod register_browser;
mod replaying;
mod rules;
mod screens;
mod sessions;
mod setting_up;
mod several_vms;
mod shipped_policies;
mod study;
mod sweeping;
mod tiny_guest;
mod tracing;
mod watching;
mod whole_disc;

use std::process::ExitCode;

use libtest_mimic::{Arguments, Trial};

const AT_ONCE: usize = 2;

fn main() -> ExitCode {
    let mut arguments = Arguments::from_args();
    arguments.test_threads.get_or_insert(AT_ONCE);
    let trials: Vec<Trial> = [
        bad_guests::trials(),
        bad_input::trials(),
        bare_machine::trials(),
        binary::trials(),
        carried::trials(),
        cleaning_up::trials(),
        command_line::trials(),
        comparing::trials(),
        counting::trials(),
        debugging::trials(),
        denials::trials(),
        beyond_qemu::slow_trials(),
        editor::slow_trials(),
        hardware::trials(),
        first_entry::trials(),
        first_entry::slow_trials(),
        foreign::trials(),
        foreign::slow_trials(),
        images::trials(),
        images::slow_trials(),
        in_the_vmm::trials(),
        in_a_vm::trials(),
        interrupts::trials(),
        isolation::trials(),
        machines::slow_trials(),
        modes::slow_trials(),
        mutants::trials(),
        ledger::trials(),
        modes::trials(),
        modules::trials(),
        neighbours::trials(),
        on_a_terminal::trials(),
        overhead::trials(),
        paging_costs::slow_trials(),
        pictures::slow_trials(),
        policies::trials(),
        refusals::trials(),
        register_browser::trials(),
        page_keys::trials(),
        page_looks::trials(),
        page_looks::slow_trials(),
        replaying::trials(),
        replaying::slow_trials(),
        rules::trials(),
        sessions::trials(),
        setting_up::trials(),
        several_vms::trials(),
        several_vms::slow_trials(),
        shipped_policies::trials(),
        study::trials(),
        sweeping::trials(),
        sweeping::slow_trials(),
        tiny_guest::trials(),
        tracing::trials(),
        tracing::slow_trials(),
        watching::trials(),
        whole_disc::slow_trials(),
    ]
    .into_iter()
    .flatten()
    .collect();
    libtest_mimic::run(&arguments, trials).exit_code()
}
