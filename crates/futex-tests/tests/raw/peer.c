/* A process that uses only the system call.
 *
 * peer fd N | name NAME  OFFSET  wake VALUE | wait EXPECTED
 *
 * `wake` stores VALUE, wakes one waiter, and prints how many it woke. `wait` waits until the value is not EXPECTED, and prints it. */
#define _GNU_SOURCE
#include <fcntl.h>
#include <linux/futex.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

int main(int argc, char **argv) {
    if (argc != 6) return 2;
    int fd = strcmp(argv[1], "fd") == 0 ? atoi(argv[2]) : shm_open(argv[2], O_RDWR, 0);
    char *memory = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (memory == MAP_FAILED) return 3;
    uint32_t *word = (uint32_t *)(memory + atoi(argv[3]));
    uint32_t value = strtoul(argv[5], NULL, 10);
    if (strcmp(argv[4], "wake") == 0) {
        __atomic_store_n(word, value, __ATOMIC_RELEASE);
        printf("%ld\n", syscall(SYS_futex, word, FUTEX_WAKE, 1, NULL, NULL, 0));
    } else {
        while (__atomic_load_n(word, __ATOMIC_ACQUIRE) == value)
            syscall(SYS_futex, word, FUTEX_WAIT, value, NULL, NULL, 0);
        printf("%u\n", __atomic_load_n(word, __ATOMIC_ACQUIRE));
    }
    return 0;
}
