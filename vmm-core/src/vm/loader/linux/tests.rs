//! Linux kernels built byte by byte.

use super::header::field;
use super::*;
use crate::policy::Protocol;
use crate::vm::loader::Module;
use crate::vm::memory::tests::leaked;
use proptest::prelude::*;

const MEMORY: u64 = 8 << 20;
const SECTOR: usize = 512;
const RUNTIME: u32 = 0x10_0000;

/// A kernel of protocol 2.15 with one sector of setup and `payload` bytes behind it.
fn kernel(payload: usize) -> Vec<u8> {
    let mut image = vec![0; 2 * SECTOR + payload];
    let mut put = |at: usize, bytes: &[u8]| image[at..at + bytes.len()].copy_from_slice(bytes);
    put(field::SETUP_SECTS, &[1]);
    put(field::SYSSIZE, &(payload.div_ceil(16) as u32).to_le_bytes());
    put(field::LENGTH, &[0x6a]);
    put(field::MAGIC, b"HdrS");
    put(field::VERSION, &[0x0f, 0x02]);
    put(field::LOADFLAGS, &[1]);
    put(field::CODE32_START, &0x10_0000u32.to_le_bytes());
    put(field::INITRD_ADDR_MAX, &0x7fff_ffffu32.to_le_bytes());
    put(field::RELOCATABLE, &[1]);
    put(field::XLOADFLAGS, &[1]);
    put(field::CMDLINE_SIZE, &255u32.to_le_bytes());
    put(field::PREF_ADDRESS, &0x20_0000u64.to_le_bytes());
    put(field::INIT_SIZE, &RUNTIME.to_le_bytes());
    image[2 * SECTOR..].fill(0xcc);
    image
}

/// A kernel with one byte changed.
fn with(at: usize, value: u8) -> Vec<u8> {
    let mut image = kernel(64);
    image[at] = value;
    image
}

fn files(image: &[u8]) -> Files<'_> {
    Files {
        protocol: None,
        image,
        command_line: "console=ttyS0",
        initrd: Some(b"initial file system"),
        modules: &[],
        text_screen: false,
    }
}

fn start(files: &Files<'_>, entry: Entry, bytes: u64) -> Result<(GuestMemory, Vcpu), LoadError> {
    let mut memory = leaked(bytes as usize);
    let mut vcpu = Vcpu::new(false);
    load(files, &mut memory, &mut vcpu, entry)?;
    Ok((memory, vcpu))
}

fn error(image: &[u8]) -> Option<LoadError> {
    start(&files(image), Entry::Protected, MEMORY).err()
}

fn word(memory: &GuestMemory, at: u64) -> u32 {
    memory.read_u32(Gpa(at)).unwrap()
}

/// "32-bit Boot Protocol": the entry.
#[test]
fn a_kernel_starts_flat_in_protected_mode_with_the_zero_page_in_esi() {
    let image = kernel(64);
    let (memory, vcpu) = start(&files(&image), Entry::Protected, MEMORY).unwrap();
    let save = vcpu.save();
    assert_eq!(save.rip, 0x10_0000);
    assert_eq!(memory.read_u8(Gpa(save.rip)), Some(0xcc));
    assert_eq!((save.cr0 & 1, save.cr0 >> 31), (1, 0));
    assert_eq!((save.cs.selector, save.ds.selector), (0x10, 0x18));
    assert_eq!(save.rflags & 1 << 9, 0, "interrupts are off");
    let gprs = vcpu.gprs;
    assert_eq!((gprs.rbx, gprs.rbp, gprs.rdi), (0, 0, 0));
    assert_eq!(
        word(&memory, gprs.rsi + 0x202),
        u32::from_le_bytes(*b"HdrS")
    );
    let descriptor = |selector: u64| word(&memory, save.gdtr.base + selector + 4);
    assert_eq!(
        (descriptor(0x10), descriptor(0x18)),
        (0x00cf_9b00, 0x00cf_9300)
    );
}

/// "64-bit Boot Protocol": the entry.
#[test]
fn a_kernel_starts_in_long_mode_with_everything_mapped_one_to_one() {
    let image = kernel(64);
    let (memory, vcpu) = start(&files(&image), Entry::Long, MEMORY).unwrap();
    assert_eq!(vcpu.save().rip, 0x10_0200);
    for linear in [0, 0x2000, 0x10_0200, 0xb_8000, MEMORY - 1, 0xffff_ffff] {
        let gpa = crate::vm::walk::translate(vcpu.save(), &memory, linear);
        assert_eq!(gpa, Ok(Gpa(linear)));
    }
    let image = with(field::XLOADFLAGS, 0);
    let none = start(&files(&image), Entry::Long, MEMORY).err();
    assert!(matches!(none, Some(LoadError::OldLinux(_))), "{none:?}");
}

#[test]
fn the_zero_page_tells_of_command_line_file_system_and_memory() {
    let image = kernel(64);
    let (memory, vcpu) = start(&files(&image), Entry::Protected, MEMORY).unwrap();
    let page = vcpu.gprs.rsi;
    assert_eq!(memory.read_u8(Gpa(page + 0x210)), Some(0xff), "the loader");
    let text = |at: u32, length: usize| {
        let mut bytes = vec![0; length];
        memory.read(Gpa(at.into()), &mut bytes).unwrap();
        bytes
    };
    assert_eq!(text(word(&memory, page + 0x228), 14), b"console=ttyS0\0");
    let (start, bytes) = (word(&memory, page + 0x218), word(&memory, page + 0x21c));
    assert_eq!(text(start, bytes as usize), b"initial file system");
    assert!(start % 4096 == 0 && start >= 0x20_0000 + RUNTIME);
    assert_eq!(memory.read_u8(Gpa(page + 0x1e8)), Some(3), "E820 entries");
    let entry = |n: u64| {
        let at = page + 0x2d0 + 20 * n;
        (
            word(&memory, at),
            word(&memory, at + 8),
            word(&memory, at + 16),
        )
    };
    assert_eq!(entry(0), (0, 0x9_fc00, 1));
    assert_eq!(entry(1), (0x9_fc00, 0x6_0400, 2));
    assert_eq!(entry(2), (0x10_0000, MEMORY as u32 - 0x10_0000, 1));
}

#[test]
fn only_a_vm_with_a_text_screen_shows_one() {
    let image = kernel(64);
    for text_screen in [false, true] {
        let files = Files {
            text_screen,
            ..files(&image)
        };
        let (memory, vcpu) = start(&files, Entry::Protected, MEMORY).unwrap();
        let is_vga = memory.read_u8(Gpa(vcpu.gprs.rsi + 0x0f));
        assert_eq!(is_vga, Some(text_screen.into()));
    }
}

#[test]
fn what_is_wrong_with_a_kernel_is_said() {
    let old = |image: &[u8]| matches!(error(image), Some(LoadError::OldLinux(_)));
    assert_eq!(error(&with(field::MAGIC, 0)), Some(LoadError::NotLinux));
    assert!(old(&with(field::VERSION, 0x09)), "2.9");
    assert!(old(&with(field::LOADFLAGS, 0)), "a zImage");
    let whole = kernel(64);
    assert_eq!(
        error(&whole[..whole.len() - 16]),
        Some(LoadError::Truncated {
            needs: whole.len() as u64,
            has: whole.len() as u64 - 16
        })
    );
    // The file of some kernels ends within the last paragraph.
    assert_eq!(error(&whole[..whole.len() - 15]), None);
}

#[test]
fn a_kernel_or_a_file_system_that_memory_cannot_hold_is_refused() {
    let image = kernel(64);
    let files = files(&image);
    let exact = 0x20_0000 + u64::from(RUNTIME);
    let without = Files {
        initrd: None,
        ..files
    };
    assert!(start(&without, Entry::Protected, exact).is_ok());
    let little = start(&without, Entry::Protected, exact - 4096).err();
    assert!(
        matches!(little, Some(LoadError::DoesNotFit { .. })),
        "{little:?}"
    );
    let full = start(&files, Entry::Protected, exact).err();
    assert_eq!(full, Some(LoadError::NoRoom));
    assert!(start(&files, Entry::Protected, exact + 4096).is_ok());
}

#[test]
fn what_the_kernel_would_not_see_is_refused() {
    let image = kernel(64);
    let module = [Module {
        bytes: b"",
        string: "",
    }];
    let files = Files {
        modules: &module,
        ..files(&image)
    };
    let refused = start(&files, Entry::Protected, MEMORY).err();
    assert!(
        matches!(refused, Some(LoadError::NoUse { .. })),
        "{refused:?}"
    );
    let line = "x".repeat(256);
    let files = Files {
        command_line: &line,
        modules: &[],
        ..files
    };
    let refused = start(&files, Entry::Protected, MEMORY).err();
    let expected = LoadError::LongCommandLine {
        has: 256,
        most: 255,
    };
    assert_eq!(refused, Some(expected));
}

#[test]
fn vmrun_accepts_both_entries() {
    let image = kernel(64);
    for entry in [Entry::Protected, Entry::Long] {
        let (_, mut vcpu) = start(&files(&image), entry, MEMORY).unwrap();
        vcpu.control_mut().guest_asid = 1;
        vcpu.control_mut().intercept_misc2 = 1;
        vcpu.control_mut().nested_control = 1;
        assert_eq!(intercepts::vmcb::validate(vcpu.vmcb(), 1 << 40), Ok(()));
    }
}

proptest! {
    /// No bytes make the loader panic, whatever it says of them.
    #[test]
    fn any_header_is_loaded_or_refused(
        changes in proptest::collection::vec((0x1f1usize..0x26c, any::<u8>()), 1..12),
        length in 0usize..2 * SECTOR + 64,
        cut: bool,
        long: bool,
        memory in 1u64..64,
    ) {
        let mut image = kernel(64);
        for (place, value) in changes {
            image[place] = value;
        }
        if cut {
            image.truncate(length);
        }
        let entry = if long { Entry::Long } else { Entry::Protected };
        let _ = start(&files(&image), entry, memory << 16);
        let _ = Protocol::of(&image);
    }
}
