# The world switch. Intel syntax; sysv64.
#
# svm_run(rdi = instance): runs the guest until `dispatch` returns other than 0.
#
# The instance begins with its VMCB, so one address serves VMRUN and finds the GPRs. VMRUN
# saves the host's RAX, RSP and RIP and restores them on #VMEXIT; the guest's RAX and RSP
# live in the VMCB. All other GPRs are ours to switch. GIF is 0 outside the guest.

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
    mov rax, rdi

.Lenter:
    mov rbx, [rax + {rbx}]
    mov rcx, [rax + {rcx}]
    mov rdx, [rax + {rdx}]
    mov rsi, [rax + {rsi}]
    mov rbp, [rax + {rbp}]
    mov r8, [rax + {r8}]
    mov r9, [rax + {r8} + 8]
    mov r10, [rax + {r8} + 16]
    mov r11, [rax + {r8} + 24]
    mov r12, [rax + {r8} + 32]
    mov r13, [rax + {r8} + 40]
    mov r14, [rax + {r8} + 48]
    mov r15, [rax + {r8} + 56]
    mov rdi, [rax + {rdi}]

    vmrun rax                       # until #VMEXIT

    mov [rax + {rbx}], rbx
    mov [rax + {rcx}], rcx
    mov [rax + {rdx}], rdx
    mov [rax + {rsi}], rsi
    mov [rax + {rbp}], rbp
    mov [rax + {rdi}], rdi
    mov [rax + {r8}], r8
    mov [rax + {r8} + 8], r9
    mov [rax + {r8} + 16], r10
    mov [rax + {r8} + 24], r11
    mov [rax + {r8} + 32], r12
    mov [rax + {r8} + 40], r13
    mov [rax + {r8} + 48], r14
    mov [rax + {r8} + 56], r15

    mov rdi, rax
    call {dispatch}
    test al, al
    mov rax, [rsp]
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
