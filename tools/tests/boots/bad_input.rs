//! What a VMM must survive: machines that lack something, images that are none, guests that
//! do what no machine allows. Each is told in a line, has its status, and harms nobody else.

use iced_x86::code_asm::{CodeAssembler, al, dword_ptr, dx, eax, esp, ptr};

use crate::gdb;
use crate::harness::{Boot, trials, vmm};
use crate::in_a_vm::{POLICY, second_vm, vm};
use crate::tiny_guest::{power_off, tiny_guest};

trials![
    a_cpu_without_svm_is_3_and_told,
    svm_disabled_by_firmware_is_3_and_says_what_to_change,
    a_cpu_without_nested_paging_is_3_and_the_line_of_the_policy_named,
    a_feature_that_the_cpu_lacks_is_3_and_the_line_that_asks_for_it_named,
    too_little_memory_is_3_and_the_vm_named,
    an_image_that_is_no_kernel_is_1_and_told,
    an_elf_for_another_machine_is_1_and_told,
    a_truncated_elf_is_1_and_told,
    an_image_beyond_guest_memory_is_1_and_told,
    an_elf_with_overlapping_segments_is_1_and_told,
    a_triple_fault_is_1_and_told,
    a_jump_to_where_no_memory_is_is_1_and_told,
    a_write_beyond_memory_is_1_and_told,
    a_denied_port_reads_all_ones_and_is_told_with_the_stanza,
    a_crash_of_one_vm_leaves_the_other_alone,
    a_panic_of_the_vmm_is_4_and_names_the_functions_it_came_through,
];

fn a_cpu_without_svm_is_3_and_told() {
    vm("demo")
        .args(["--", "-cpu", "qemu64,-svm"])
        .run()
        .ends_with(3)
        .shows("this CPU has no SVM");
}

/// No CPU model of QEMU's has VM_CR.SVMDIS set, so a debugger answers for the register.
fn svm_disabled_by_firmware_is_3_and_says_what_to_change() {
    const SVMDIS: u64 = 1 << 4;
    let gdb = gdb::Stub::new();
    let stub = gdb.argument();
    let boot = vm("demo");
    let address = boot.symbol("read_vm_cr");
    let debugger = std::thread::spawn(move || gdb.return_from(address.into(), SVMDIS));
    boot.args(["--", "-S", "-gdb", &stub])
        .run()
        .ends_with(3)
        .shows("the firmware has disabled SVM");
    debugger.join().expect("the debugger's part");
}

fn a_cpu_without_nested_paging_is_3_and_the_line_of_the_policy_named() {
    vm("demo")
        .args(["--", "-cpu", "qemu64,+svm,-npt"])
        .run()
        .ends_with(3)
        .shows("lacks `npt`")
        .shows("vm.toml:");
}

fn a_feature_that_the_cpu_lacks_is_3_and_the_line_that_asks_for_it_named() {
    let policy = POLICY
        .replace("[set.base]", "[set.base]\nrdpru = \"count\"")
        .replace("[target]", "[target]\nfeatures = [\"rdpru\"]");
    let asks = |line: &str| line.starts_with("rdpru");
    let line = 1 + policy.lines().position(asks).expect("a line");
    Boot::policy(&policy)
        .run()
        .ends_with(3)
        .shows("lacks `rdpru`")
        .shows(&format!("vm.toml:{line}"));
}

fn too_little_memory_is_3_and_the_vm_named() {
    vm("demo")
        .args(["--", "-m", "48M"])
        .run()
        .ends_with(3)
        .shows("VM `demo` wants 65536 KiB");
}

fn an_image_that_is_no_kernel_is_1_and_told() {
    vm("")
        .kernel(b"this is not a kernel")
        .run()
        .ends_with(1)
        .shows("nor a Multiboot 1 kernel");
}

/// The bytes of the guest kernel's ELF file.
fn guest_kernel() -> Vec<u8> {
    // It is built once the program is ready.
    let _ = vmm();
    let workspace = tools::workspace::Workspace::find();
    let kernel = tools::build::guest(&workspace).expect("the guest kernel");
    std::fs::read(kernel).expect("the guest kernel")
}

fn an_elf_for_another_machine_is_1_and_told() {
    let mut kernel = guest_kernel();
    kernel[18] = 62;
    vm("")
        .kernel(&kernel)
        .run()
        .ends_with(1)
        .shows("an ELF file for another machine (e_machine 62)");
}

fn a_truncated_elf_is_1_and_told() {
    let kernel = guest_kernel();
    vm("")
        .kernel(&kernel[..kernel.len() / 4])
        .run()
        .ends_with(1)
        .shows("it is truncated");
}

fn an_image_beyond_guest_memory_is_1_and_told() {
    // The load address, and with it everything else, 1 GiB further on.
    let mut kernel = tiny_guest(power_off);
    for field in [15, 19, 31] {
        kernel[field] += 0x40;
    }
    vm("")
        .kernel(&kernel)
        .run()
        .ends_with(1)
        .shows("it wants guest-physical 0x40100000");
}

fn an_elf_with_overlapping_segments_is_1_and_told() {
    let mut kernel = guest_kernel();
    let headers = u32::from_le_bytes([kernel[28], kernel[29], kernel[30], kernel[31]]) as usize;
    // The second segment goes to the first one's physical address.
    let (first, second) = (headers + 12, headers + 32 + 12);
    kernel.copy_within(first..first + 4, second);
    vm("")
        .kernel(&kernel)
        .run()
        .ends_with(1)
        .shows("two of its segments claim");
}

/// An IDT without a gate, and an exception.
fn triple_fault(a: &mut CodeAssembler) -> Result<(), iced_x86::IcedError> {
    a.xor(eax, eax)?;
    a.push(eax)?;
    a.push(eax)?;
    a.lidt(ptr(esp))?;
    a.int3()
}

fn a_triple_fault_is_1_and_told() {
    let kernel = tiny_guest(|a| {
        a.mov(esp, 0x20_0000)?;
        triple_fault(a)
    });
    vm("")
        .kernel(&kernel)
        .run()
        .ends_with(1)
        .shows("demo: crashed: triple fault");
}

fn a_jump_to_where_no_memory_is_is_1_and_told() {
    let kernel = tiny_guest(|a| {
        a.mov(eax, 0x8000_0000u32)?;
        a.jmp(eax)
    });
    vm("")
        .kernel(&kernel)
        .run()
        .ends_with(1)
        .shows("it jumps to guest-physical 0x80000000")
        .shows("its memory ends at 0x4000000");
}

fn a_write_beyond_memory_is_1_and_told() {
    let kernel = tiny_guest(|a| a.mov(dword_ptr(0x400_0000), 7));
    vm("")
        .kernel(&kernel)
        .run()
        .ends_with(1)
        .shows("it writes to guest-physical 0x4000000");
}

fn a_denied_port_reads_all_ones_and_is_told_with_the_stanza() {
    let kernel = tiny_guest(|a| {
        let mut halt = a.create_label();
        a.mov(dx, 0x1234)?;
        a.in_(al, dx)?;
        a.cmp(al, -1)?;
        a.jne(halt)?;
        power_off(a)?;
        a.set_label(&mut halt)?;
        a.hlt()
    });
    vm("")
        .kernel(&kernel)
        .run()
        .ends_with(0)
        .shows("port 0x1234")
        .shows("ports = \"0x1234\"")
        .shows("demo: power-off");
}

fn a_crash_of_one_vm_leaves_the_other_alone() {
    let kernel = tiny_guest(|a| a.mov(dword_ptr(0x400_0000), 7));
    Boot::policy(&POLICY.replace("#REST", &second_vm("demo")))
        .kernel(&kernel)
        .run()
        .ends_with(1)
        .shows("demo: crashed")
        .shows("other| demo: done")
        .shows("other: power-off");
}

fn a_panic_of_the_vmm_is_4_and_names_the_functions_it_came_through() {
    let outcome = vm("demo")
        .args(["--", "-append", "tollgate panic"])
        .run()
        .ends_with(4)
        .shows("the command line asks for it")
        .shows("called from");
    let callers = outcome
        .lines
        .iter()
        .filter(|line| line.contains("(tollgate+"));
    let names: Vec<&str> = callers
        .filter_map(|line| line.split("from ").nth(1)?.split(" (").next())
        .collect();
    // Nobody else, such as who was called before and has returned.
    let [.., panic, obey, run, rust_entry, long_mode] = names[..] else {
        panic!("{names:#?}");
    };
    assert_eq!(panic, "core::panicking::panic_fmt", "{names:#?}");
    assert!(obey.contains("Hypervisor>::obey"), "{names:#?}");
    assert_eq!(run, "vmm_core::hypervisor::run", "{names:#?}");
    assert_eq!(
        [rust_entry, long_mode],
        ["rust_entry", "long_mode"],
        "{names:#?}"
    );
}
