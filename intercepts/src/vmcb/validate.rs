//! What VMRUN demands of a VMCB before it enters the guest (APM 15.5.1, and the sections of what
//! it may enable).
//!
//! The CPU answers a violation with VMEXIT_INVALID and nothing more. This names the field.

use super::control::{nested, vintr};
use super::registers::{cr0, cr4, efer, s_cet, segment};
use super::{Control, Vmcb};
use crate::bits::defined;
use crate::{Event, EventKind, ExitCode, Intercept};

/// A condition of VMRUN that a VMCB does not meet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Violation {
    /// The field at fault, as in [`super::fields`].
    pub field: &'static str,
    /// The condition, in words.
    pub rule: &'static str,
}

const EFER_DEFINED: u64 = defined(efer::BITS) as u64;
const S_CET_DEFINED: u64 = defined(s_cet::BITS) as u64;
const CR4_DEFINED: u64 = defined(cr4::BITS) as u64;
/// CS.L and CS.D, in the attributes of the segment.
const CS_L_D: u16 = ((segment::L | segment::D_B) >> 16) as u16;

/// Builds [`validate`] and [`DEMANDS`] from one list: field, rule, and when it holds.
macro_rules! demands {
    (|$control:ident, $save:ident, $vmcb:ident, $max_physical:ident| $(let $name:ident = $value:expr;)*
     $($field:literal $rule:literal: $holds:expr;)*) => {
        /// What VMRUN demands, in the order of APM 15.5.1.
        pub static DEMANDS: &[Violation] = &[
            $(Violation { field: $field, rule: $rule },)*
        ];

        /// Whether VMRUN takes the VMCB. `max_physical` is the first physical address beyond
        /// the machine's address space.
        ///
        /// # Errors
        /// The first of [`DEMANDS`] that is not met.
        pub fn validate($vmcb: &Vmcb, $max_physical: u64) -> Result<(), Violation> {
            let ($control, $save) = (&$vmcb.control, &$vmcb.save);
            $(let $name = $value;)*
            $(if !$holds {
                return Err(Violation { field: $field, rule: $rule });
            })*
            Ok(())
        }
    };
}

demands! {
    |control, save, vmcb, max_physical|
    let long_paging = save.efer & efer::LME != 0 && save.cr0 & cr0::PG != 0;
    let nested_paging = control.nested_control & nested::NP_ENABLE != 0;
    let interrupts = control.vintr;

    "efer" "EFER.SVME must be 1": (save.efer & efer::SVME != 0);
    "cr0" "CR0.NW must be 0 while CR0.CD is 0":
        (save.cr0 & cr0::CD != 0 || save.cr0 & cr0::NW == 0);
    "cr0" "CR0 bits 63:32 must be 0": (save.cr0 >> 32 == 0);
    "cr3" "CR3 must not have bits beyond the physical address width": (save.cr3 < max_physical);
    "cr4" "CR4's reserved bits must be 0": (save.cr4 & !CR4_DEFINED == 0);
    "dr6" "DR6 bits 63:32 must be 0": (save.dr6 >> 32 == 0);
    "dr7" "DR7 bits 63:32 must be 0": (save.dr7 >> 32 == 0);
    "efer" "EFER's reserved bits must be 0": (save.efer & !EFER_DEFINED == 0);
    "cr4" "long mode with paging needs CR4.PAE": (!long_paging || save.cr4 & cr4::PAE != 0);
    "cr0" "long mode with paging needs CR0.PE": (!long_paging || save.cr0 & cr0::PE != 0);
    "cs" "in long mode CS.L and CS.D must not both be 1":
        (!long_paging || save.cs.attributes & CS_L_D != CS_L_D);
    "intercept_misc2" "VMRUN must be intercepted": (intercepts(vmcb, ExitCode::Vmrun));
    "iopm_base_pa" "the I/O permission map must end within physical memory":
        (map_fits(control.iopm_base_pa, 12 << 10, max_physical));
    "msrpm_base_pa" "the MSR permission map must end within physical memory":
        (map_fits(control.msrpm_base_pa, 8 << 10, max_physical));
    "event_injection" "EVENTINJ must hold a legal event": (injectable(control.event_injection));
    "guest_asid" "ASID 0 is the host's": (control.guest_asid != 0);
    "s_cet" "S_CET's reserved bits must be 0": (save.s_cet & !S_CET_DEFINED == 0);
    "cr4" "CR4.CET needs CR0.WP": (save.cr4 & cr4::CET == 0 || save.cr0 & cr0::WP != 0);
    "vintr" "V_NMI_ENABLE needs the intercept of NMIs":
        (interrupts & vintr::V_NMI_ENABLE == 0 || intercepts(vmcb, ExitCode::Nmi));
    "vintr" "X2AVIC_ENABLE needs AVIC_ENABLE":
        (interrupts & vintr::X2AVIC_ENABLE == 0 || interrupts & vintr::AVIC_ENABLE != 0);
    "nested_control" "SEV_ENABLE and SSS_CHECK_ENABLE need NP_ENABLE":
        (nested_paging || control.nested_control & (nested::SEV_ENABLE | nested::SSS_CHECK_ENABLE) == 0);
    "nested_cr3" "N_CR3 must not have bits beyond the physical address width":
        (!nested_paging || control.nested_cr3 < max_physical);
    "g_pat" "G_PAT must hold memory types 0, 1, 4, 5, 6 or 7":
        (!nested_paging || is_legal_pat(save.g_pat));
}

/// Whether the intercept bit of `code` is set; `false` for exits without a bit.
pub fn intercepts(vmcb: &Vmcb, code: ExitCode) -> bool {
    let control = &vmcb.control;
    let Intercept::Bit { offset, bit } = code.exit().intercept else {
        return false;
    };
    let word = match offset {
        0x000 => u32::from(control.intercept_cr_read) | u32::from(control.intercept_cr_write) << 16,
        0x004 => u32::from(control.intercept_dr_read) | u32::from(control.intercept_dr_write) << 16,
        0x008 => control.intercept_exceptions,
        0x00c => control.intercept_misc1,
        0x010 => control.intercept_misc2,
        _ => control.intercept_misc3,
    };
    word >> bit & 1 != 0
}

/// Sets or clears the intercept bit of `code`; nothing happens for exits without a bit.
pub fn set_intercept(control: &mut Control, code: ExitCode, on: bool) {
    let Intercept::Bit { offset, bit } = code.exit().intercept else {
        return;
    };
    let put16 = |half: &mut u16, bit: u8| *half = *half & !(1 << bit) | u16::from(on) << bit;
    let put32 = |word: &mut u32| *word = *word & !(1 << bit) | u32::from(on) << bit;
    match (offset, bit) {
        (0x000, 0..16) => put16(&mut control.intercept_cr_read, bit),
        (0x000, _) => put16(&mut control.intercept_cr_write, bit - 16),
        (0x004, 0..16) => put16(&mut control.intercept_dr_read, bit),
        (0x004, _) => put16(&mut control.intercept_dr_write, bit - 16),
        (0x008, _) => put32(&mut control.intercept_exceptions),
        (0x00c, _) => put32(&mut control.intercept_misc1),
        (0x010, _) => put32(&mut control.intercept_misc2),
        _ => put32(&mut control.intercept_misc3),
    }
}

/// Whether a permission map ends within physical memory; VMRUN ignores the low 12 bits of its
/// address (APM 15.10.1, 15.11).
fn map_fits(base: u64, bytes: u64, max_physical: u64) -> bool {
    (base & !0xfff)
        .checked_add(bytes)
        .is_some_and(|end| end <= max_physical)
}

/// APM 15.20: reserved types, NMI's vector as an exception, and vectors that are no
/// exceptions are refused.
fn injectable(event: Event) -> bool {
    if !event.is_valid() {
        return true;
    }
    match event.kind() {
        Some(EventKind::Exception) => event.vector() < 32 && event.vector() != 2,
        Some(_) => true,
        None => false,
    }
}

fn is_legal_pat(pat: u64) -> bool {
    pat.to_le_bytes()
        .iter()
        .all(|kind| matches!(kind, 0 | 1 | 4..=7))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::EXITS;

    const MEMORY: u64 = 1 << 40;

    fn legal() -> Vmcb {
        let mut vmcb = Vmcb::zeroed();
        vmcb.save.efer = efer::SVME;
        vmcb.save.cr0 = 0x11;
        vmcb.save.g_pat = 0x0007_0406_0007_0406;
        vmcb.control.intercept_misc2 = 1;
        vmcb.control.guest_asid = 1;
        vmcb
    }

    #[test]
    fn an_intercept_is_set_and_cleared_alone() {
        let bits = |vmcb: &Vmcb| {
            let all = EXITS.iter().map(|exit| exit.code);
            all.filter(|code| intercepts(vmcb, *code)).count()
        };
        for exit in EXITS {
            let has_bit = matches!(exit.intercept, Intercept::Bit { .. });
            let mut vmcb = Vmcb::zeroed();
            set_intercept(&mut vmcb.control, exit.code, true);
            assert_eq!(intercepts(&vmcb, exit.code), has_bit, "{}", exit.name);
            assert_eq!(bits(&vmcb), usize::from(has_bit), "{}", exit.name);
            set_intercept(&mut vmcb.control, exit.code, false);
            assert_eq!(bits(&vmcb), 0, "{}", exit.name);
        }
    }

    #[test]
    fn a_legal_vmcb_passes() {
        assert_eq!(validate(&legal(), MEMORY), Ok(()));
    }

    #[test]
    fn the_low_bits_of_a_maps_address_are_ignored() {
        let mut vmcb = legal();
        vmcb.control.iopm_base_pa = MEMORY - (12 << 10) + 0xfff;
        assert_eq!(validate(&vmcb, MEMORY), Ok(()));
        vmcb.control.iopm_base_pa += 1;
        assert_eq!(
            validate(&vmcb, MEMORY).map_err(|violation| violation.field),
            Err("iopm_base_pa")
        );
    }

    /// Each condition of APM 15.5.1, broken by itself, is found and the field named.
    #[test]
    fn each_broken_condition_names_its_field() {
        type Break = fn(&mut Vmcb);
        let breaks: &[(&str, Break)] = &[
            ("efer", |v| v.save.efer = 0),
            ("efer", |v| v.save.efer |= 1 << 1),
            ("efer", |v| v.save.efer |= 1 << 16),
            ("cr0", |v| v.save.cr0 |= cr0::NW),
            ("cr0", |v| v.save.cr0 |= 1 << 32),
            ("cr3", |v| v.save.cr3 = MEMORY),
            ("cr4", |v| v.save.cr4 = 1 << 31),
            ("dr6", |v| v.save.dr6 = 1 << 32),
            ("dr7", |v| v.save.dr7 = 1 << 32),
            ("cr4", |v| {
                v.save.efer |= efer::LME;
                v.save.cr0 |= cr0::PG;
            }),
            ("cr0", |v| {
                v.save.efer |= efer::LME;
                v.save.cr0 = cr0::PG;
                v.save.cr4 = cr4::PAE;
            }),
            ("cs", |v| {
                v.save.efer |= efer::LME;
                v.save.cr0 |= cr0::PG;
                v.save.cr4 = cr4::PAE;
                v.save.cs.attributes = CS_L_D;
            }),
            ("intercept_misc2", |v| v.control.intercept_misc2 = 0),
            ("iopm_base_pa", |v| v.control.iopm_base_pa = u64::MAX),
            ("msrpm_base_pa", |v| v.control.msrpm_base_pa = MEMORY - 4096),
            ("event_injection", |v| {
                v.control.event_injection = Event(1 << 31 | 1 << 8)
            }),
            ("event_injection", |v| {
                v.control.event_injection = Event::exception(32)
            }),
            ("event_injection", |v| {
                v.control.event_injection = Event::exception(2)
            }),
            ("guest_asid", |v| v.control.guest_asid = 0),
            ("s_cet", |v| v.save.s_cet = 4),
            ("cr4", |v| v.save.cr4 = cr4::CET),
            ("vintr", |v| v.control.vintr = vintr::V_NMI_ENABLE),
            ("vintr", |v| v.control.vintr = vintr::X2AVIC_ENABLE),
            ("nested_control", |v| {
                v.control.nested_control = nested::SEV_ENABLE
            }),
            ("nested_cr3", |v| {
                v.control.nested_control = nested::NP_ENABLE;
                v.control.nested_cr3 = MEMORY;
            }),
            ("g_pat", |v| {
                v.control.nested_control = nested::NP_ENABLE;
                v.save.g_pat = 2;
            }),
        ];
        for (field, spoil) in breaks {
            let mut vmcb = legal();
            spoil(&mut vmcb);
            assert_eq!(validate(&vmcb, MEMORY).map_err(|v| v.field), Err(*field));
        }
    }
}
