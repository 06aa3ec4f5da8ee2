# The world switch. Intel syntax; sysv64.
#
# svm_run(rdi = instance): runs the guest until `dispatch` returns other than 0.
#
# VMRUN saves the host's RAX, RSP and RIP and restores them on #VMEXIT; the guest's RAX and
# RSP live in the VMCB. All other GPRs are ours to switch. GIF is 0 outside the guest.

.pushsection .text.svm_run, "ax", @progbits
.global svm_run
.type svm_run, @function
.balign 64
svm_run:
    push rbx
    push rbp
    push r12
    push r13
    push r14
    push r15
    push rdi                        # the instance; also aligns RSP for the call

.Lenter:
    mov rax, [rdi + {vmcb_pa}]
    mov rbx, [rdi + {rbx}]
    mov rcx, [rdi + {rcx}]
    mov rdx, [rdi + {rdx}]
    mov rsi, [rdi + {rsi}]
    mov rbp, [rdi + {rbp}]
    mov r8,  [rdi + {r8}]
    mov r9,  [rdi + {r8} + 8]
    mov r10, [rdi + {r8} + 16]
    mov r11, [rdi + {r8} + 24]
    mov r12, [rdi + {r8} + 32]
    mov r13, [rdi + {r8} + 40]
    mov r14, [rdi + {r8} + 48]
    mov r15, [rdi + {r8} + 56]
    mov rdi, [rdi + {rdi}]

    vmrun rax                       # until #VMEXIT, the next instruction

    mov rax, [rsp]
    mov [rax + {rbx}], rbx
    mov [rax + {rcx}], rcx
    mov [rax + {rdx}], rdx
    mov [rax + {rsi}], rsi
    mov [rax + {rdi}], rdi
    mov [rax + {rbp}], rbp
    mov [rax + {r8}],      r8
    mov [rax + {r8} + 8],  r9
    mov [rax + {r8} + 16], r10
    mov [rax + {r8} + 24], r11
    mov [rax + {r8} + 32], r12
    mov [rax + {r8} + 40], r13
    mov [rax + {r8} + 48], r14
    mov [rax + {r8} + 56], r15

    mov rdi, rax
    call {dispatch}
    mov rdi, [rsp]
    test al, al
    jz .Lenter

    pop rdi
    pop r15
    pop r14
    pop r13
    pop r12
    pop rbp
    pop rbx
    ret
.size svm_run, . - svm_run
.popsection
