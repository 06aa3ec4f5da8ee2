//! SVM instructions, RSM and XSETBV in a guest whose CPU has none of them.
//!
//! The VMCB's EFER.SVME is 1 by VMRUN's demand, so without these intercepts a guest could
//! execute VMSAVE and write host memory: they are part of the isolation floor.

use super::Outcome;
use crate::vm::{Vcpu, Vm};

/// #UD, as on a CPU with EFER.SVME = 0 (RSM: outside SMM; XSETBV: CR4.OSXSAVE = 0).
pub fn emulate(vcpu: &mut Vcpu, _vm: &mut Vm) -> Outcome {
    vcpu.inject_ud();
    Outcome::Resume
}
