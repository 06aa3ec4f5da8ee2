# From the boot loader to Rust: Multiboot 1 header, 32-bit entry, long mode, the first stack.
#
# The loader enters in 32-bit protected mode without paging, with EAX = magic and EBX = the
# information block (Multiboot 0.6.96, 3.2). The page tables built here are temporary: they map
# the first 4 GiB one to one, until the VMM has read the memory map and makes its own.

.set MULTIBOOT_MAGIC, 0x1BADB002
# Pages aligned (0), memory map wanted (1), address fields valid (16). The last is what makes
# loaders take an ELF64 file: they load it by these fields and never look at its ELF header.
.set MULTIBOOT_FLAGS, 0x00010003

.set CR0_PAGED, 0x80010033      # PG, WP, NE, ET, MP, PE; EM, TS, NW and CD off
.set CR4_PAE_PGE, 0x000000A0
.set EFER, 0xC0000080
.set EFER_LME_NXE, 0x00000900
.set RFLAGS_ID, 0x00200000
.set CPUID_LONG_MODE, 29        # 8000_0001 EDX
.set CPUID_NO_EXECUTE, 20       # 8000_0001 EDX
.set STACK_BYTES, 0x40000

.section .multiboot, "a"
.balign 4
multiboot_header:
    .long MULTIBOOT_MAGIC
    .long MULTIBOOT_FLAGS
    .long -(MULTIBOOT_MAGIC + MULTIBOOT_FLAGS)
    .long multiboot_header      # header_addr
    .long image_start           # load_addr
    .long load_end              # load_end_addr
    .long image_end             # bss_end_addr
    .long entry                 # entry_addr

.section .text.entry, "ax"
.code32
.global entry
entry:
    cli
    cld
    mov esi, eax                # magic, kept for Rust
    mov edi, offset bss_start
    mov ecx, offset image_end
    sub ecx, edi
    shr ecx, 2
    xor eax, eax
    rep stosd
    mov esp, offset stack_top
    mov edi, ebx                # information block, kept for Rust

    # CPUID exists if RFLAGS.ID can be changed (APM vol. 3, appendix D).
    pushfd
    pop eax
    mov ecx, eax
    xor eax, RFLAGS_ID
    push eax
    popfd
    pushfd
    pop eax
    cmp eax, ecx
    je no_long_mode
    mov eax, 0x80000000
    cpuid
    cmp eax, 0x80000001
    jb no_long_mode
    mov eax, 0x80000001
    cpuid
    bt edx, CPUID_LONG_MODE
    jnc no_long_mode
    bt edx, CPUID_NO_EXECUTE
    jnc no_long_mode

    # Four page directories of 2 MiB pages: present, writable, large.
    mov eax, 0x83
    xor ecx, ecx
1:  mov [boot_directories + ecx * 8], eax
    add eax, 0x200000
    inc ecx
    cmp ecx, 2048
    jne 1b
    mov eax, offset boot_directories + 3
    xor ecx, ecx
2:  mov [boot_pointers + ecx * 8], eax
    add eax, 0x1000
    inc ecx
    cmp ecx, 4
    jne 2b
    mov eax, offset boot_pointers + 3
    mov [boot_map], eax

    mov eax, CR4_PAE_PGE
    mov cr4, eax
    mov eax, offset boot_map
    mov cr3, eax
    mov ecx, EFER
    rdmsr
    or eax, EFER_LME_NXE
    wrmsr
    mov eax, CR0_PAGED
    mov cr0, eax
    lgdt [boot_gdt_register]
    # A far jump by hand: Intel syntax has no portable spelling of it in 32-bit code.
    mov eax, 0x08
    push eax
    mov eax, offset long_mode
    push eax
    retf

# Says why there is nothing to run, to people (COM1, VGA) and to machines (COM2, the status).
no_long_mode:
    mov ebp, offset refused_text
    mov ebx, 0x3F8
    call send
    mov ebp, offset refused_record
    mov ebx, 0x2F8
    call send
    mov ebp, offset refused_text
    mov edi, 0xB8000
    mov ah, 0x4F                # white on red
3:  mov al, [ebp]
    cmp al, 0x20
    jb 4f
    mov [edi], ax
    add edi, 2
    inc ebp
    jmp 3b
4:  mov dx, 0x501               # isa-debug-exit
    mov eax, 3
    out dx, eax
5:  cli
    hlt
    jmp 5b

# Sends the text at EBP, up to its NUL, to the UART at EBX, at 115200 8N1. Gives up on a byte
# after a while, so a machine without the port loses nothing but time.
send:
    lea edx, [ebx + 3]
    mov al, 0x83                # DLAB
    out dx, al
    mov edx, ebx
    mov al, 1
    out dx, al
    inc edx
    xor eax, eax
    out dx, al
    lea edx, [ebx + 3]
    mov al, 0x03                # 8N1
    out dx, al
6:  mov ecx, 0x10000
    lea edx, [ebx + 5]
7:  in al, dx
    test al, 0x20               # THRE
    loopz 7b
    mov al, [ebp]
    test al, al
    jz 8f
    mov edx, ebx
    out dx, al
    inc ebp
    jmp 6b
8:  ret

.code64
long_mode:
    mov eax, 0x10
    mov ds, eax
    mov es, eax
    mov ss, eax
    xor eax, eax
    mov fs, eax
    mov gs, eax
    # ESI and EDI carried magic and block here; zero-extend them into the argument registers.
    mov eax, edi
    mov edi, esi
    mov esi, eax
    mov rsp, offset stack_top
    xor ebp, ebp
    call rust_entry
    ud2

.section .rodata.entry, "a"
refused_text:
    .asciz "[vmm] refused: this processor has no 64-bit mode with no-execute pages, and so no SVM\r\n"
refused_record:
    .ascii "{\"kind\":\"refused\",\"reason\":\"this processor has no 64-bit mode with no-execute pages, and so no SVM\"}\n"
    .asciz "{\"kind\":\"done\",\"status\":3}\n"
.balign 8
boot_gdt:
    .quad 0
    .quad 0x00AF9B000000FFFF    # 08h: 64-bit code, accessed
    .quad 0x00CF93000000FFFF    # 10h: data, accessed
boot_gdt_register:
    .word 23
    .long boot_gdt

.section .bss.entry, "aw", @nobits
.balign 4096
boot_map:
    .skip 4096
boot_pointers:
    .skip 4096
boot_directories:
    .skip 4 * 4096

.section .stack, "aw", @nobits
.balign 4096
.global stack_guard
stack_guard:
    .skip 4096
    .skip STACK_BYTES
.global stack_top
stack_top:
