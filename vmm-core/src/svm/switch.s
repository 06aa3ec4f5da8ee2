# The world switch. Intel syntax; sysv64.
#
# svm_run(rdi = instance): runs the guest until `dispatch` returns other than 0.
#
# The instance begins with its VMCB, so one address serves VMRUN and finds the GPRs. VMRUN
# saves the host's RAX, RSP and RIP and restores them on #VMEXIT; the guest's RAX and RSP
# live in the VMCB. All other GPRs are ours to switch. GIF is 0 outside the guest.
#
# On a CPU with clean bits all are set after #VMEXIT; whoever changes a field then clears its own.
#
# A switch that counts takes the time from #VMEXIT on, in 32 bits: a handler is done within
# 2^32 TSC ticks, or its excess is lost.

.macro world_switch name, dispatch, counted, timed, traced, clean
.global \name
.type \name, @function
.balign 64
\name:
    push rbx
    push rbp
    push r12
    push r13
    push r14
    push r15
    push rdi                        # the instance; also aligns RSP for the call
    mov rax, rdi

1:
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
.if \clean
    mov dword ptr [rax + {clean}], {all_clean}
.endif

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
.if \traced
    mov r12, [rax + {next}]         # the entry; RCX is the guest's still
    mov [r12 + {entry_rcx}], rcx
    mov rdx, [rax + {save_rip}]
    mov [r12 + {rip}], rdx
    mov rdx, [rax + {info1}]
    mov [r12 + {entry_info1}], rdx
    mov rdx, [rax + {info2}]
    mov [r12 + {entry_info2}], rdx
    mov rdx, [rax + {save_rax}]
    mov [r12 + {entry_rax}], rdx
    movzx r13d, word ptr [rax + {exit_code}]
.endif
.if \counted
    rdtsc
    mov ebx, eax                    # when it arrived
  .if \traced
    shl rdx, 32
    or rdx, rax
    mov [r12 + {time}], rdx
  .endif
.endif
    call \dispatch
.if \counted
    mov ebp, eax
    rdtsc
    sub eax, ebx                    # how long it took
    mov rcx, [rsp]
    movzx edx, byte ptr [rcx + {slot}]
  .if \traced
    mov [r12 + {answer}], eax
    mov [r12 + {answer} + 4], dl
    mov [r12 + {answer} + 5], bpl
    mov [r12 + {answer} + 6], r13w
    mov rsi, [rcx + {event_injection}]
    test dword ptr [rcx + {vintr}], {v_irq}
    jnz 12f
13:
    mov [r12 + {event}], rsi
    add r12, {entry_bytes}
    cmp r12, [rcx + {end}]
    je 6f
7:
    mov [rcx + {next}], r12
    mov rsi, [rcx + {written}]
    inc qword ptr [rsi]
    dec qword ptr [rcx + {left}]
    jz 8f
9:
  .endif
  .if \timed
    imul esi, edx, {time_bytes}
  .endif
    shl edx, 4                      # the size of a total
    add rdx, [rcx + {totals}]
    inc qword ptr [rdx + {count}]
    add [rdx + {cycles}], rax
  .if \timed
    add rsi, [rcx + {times}]
    cmp rax, [rsi + {least}]
    jb 3f
    cmp rax, [rsi + {most}]
    ja 4f
5:
    or eax, 1
    bsr eax, eax
    inc qword ptr [rsi + rax * 8 + {buckets}]
  .endif
    mov rax, rcx
    test bpl, bpl
.else
    test al, al
    mov rax, [rsp]
.endif
    jz 1b

    pop rdi
    pop r15
    pop r14
    pop r13
    pop r12
    pop rbp
    pop rbx
    ret
.if \timed
3:
    mov [rsi + {least}], rax
    cmp rax, [rsi + {most}]
    jbe 5b
4:
    mov [rsi + {most}], rax
    jmp 5b
.endif
.if \traced
6:
    sub r12, [rcx + {bytes}]        # the ring has come round
    jmp 7b
8:
    mov ebp, 1                      # the VMM wants to look
    jmp 9b
12:
    test dword ptr [rcx + {misc1}], {vintr_intercept}
    jnz 13b                         # a bell
    movzx esi, byte ptr [rcx + {vintr} + 4]
    bts esi, 31                     # as EVENTINJ would have it
    jmp 13b
.endif
.size \name, . - \name
.endm

.pushsection .text.svm_run, "ax", @progbits
.irp clean, 0, 1
world_switch svm_run_\clean, {dispatch}, 0, 0, 0, \clean
world_switch svm_run_counted_\clean, {dispatch_counted}, 1, 0, 0, \clean
world_switch svm_run_timed_\clean, {dispatch_counted}, 1, 1, 0, \clean
world_switch svm_run_detailed_\clean, {dispatch_detailed}, 1, 1, 0, \clean
world_switch svm_run_traced_\clean, {dispatch_counted}, 1, 0, 1, \clean
world_switch svm_run_traced_in_detail_\clean, {dispatch_detailed}, 1, 1, 1, \clean
.endr
.popsection
