//! Multiboot modules, from `vm.toml` to the guest.

use iced_x86::IcedError;
use iced_x86::code_asm::{CodeAssembler, al, byte_ptr, dword_ptr, dx, ebx, ecx, edi, esi};

use crate::harness::{Boot, POLICY, trials};
use crate::tiny_guest::{power_off, tiny_guest};

trials![modules_reach_the_guest_with_their_strings];

/// Sends each module's string, a colon, its contents and a line's end, by the boot information
/// (Multiboot 1, 3.3).
fn tell(a: &mut CodeAssembler) -> Result<(), IcedError> {
    const COUNT: u32 = 20;
    const TABLE: u32 = 24;
    const ENTRY: u32 = 16;
    let mut each = a.create_label();
    let mut done = a.create_label();
    a.mov(dx, 0x3f8)?;
    a.mov(ecx, dword_ptr(ebx + COUNT))?;
    a.mov(esi, dword_ptr(ebx + TABLE))?;
    a.set_label(&mut each)?;
    a.test(ecx, ecx)?;
    a.jz(done)?;
    a.mov(edi, dword_ptr(esi + 8))?;
    send_until(a, |a| a.cmp(byte_ptr(edi), 0))?;
    send(a, b':')?;
    a.mov(edi, dword_ptr(esi))?;
    send_until(a, |a| a.cmp(edi, dword_ptr(esi + 4)))?;
    send(a, b'\n')?;
    a.add(esi, ENTRY as i32)?;
    a.dec(ecx)?;
    a.jmp(each)?;
    a.set_label(&mut done)?;
    power_off(a)
}

/// Sends bytes from EDI on until a comparison finds equality.
fn send_until(
    a: &mut CodeAssembler,
    compare: impl FnOnce(&mut CodeAssembler) -> Result<(), IcedError>,
) -> Result<(), IcedError> {
    let mut next = a.create_label();
    let mut done = a.create_label();
    a.set_label(&mut next)?;
    compare(a)?;
    a.je(done)?;
    a.mov(al, byte_ptr(edi))?;
    a.out(dx, al)?;
    a.inc(edi)?;
    a.jmp(next)?;
    a.set_label(&mut done)
}

fn send(a: &mut CodeAssembler, byte: u8) -> Result<(), IcedError> {
    a.mov(al, u32::from(byte))?;
    a.out(dx, al)
}

/// By QEMU's own loader, and off a disc by GRUB.
fn modules_reach_the_guest_with_their_strings() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let module = |name: &str, contents: &str| {
        let file = folder.path().join(name);
        std::fs::write(&file, contents).expect("a module");
        file.display().to_string()
    };
    let first = module("first", "what the first holds") + " one two";
    let second = module("second", "2");
    let third = module("third", &"long ".repeat(2_000)) + " three";
    let policy = POLICY.replace(
        "memory ",
        &format!("modules = [{first:?}, {second:?}, {third:?}]\nmemory "),
    );
    let kernel = tiny_guest(tell);
    for options in [&[][..], &["--iso"]] {
        let boot = options
            .iter()
            .fold(Boot::policy(&policy), |boot, option| boot.arg(*option));
        let outcome = boot.kernel(&kernel).run().ends_with(0);
        let told = [
            format!("{first}:what the first holds"),
            format!("{second}:2"),
            format!("{third}:{}", "long ".repeat(2_000)),
        ];
        assert_eq!(outcome.lines_of("demo"), told, "{options:?}");
    }
}
