// The peer that plays boost.interprocess: an interprocess_mutex and a value in a managed_shared_memory.
//
// It speaks the protocol of peer.rs. Its arguments are the object's name and the path of the referee's memory.

#include <boost/interprocess/managed_shared_memory.hpp>
#include <boost/interprocess/sync/interprocess_mutex.hpp>
#include <boost/version.hpp>

#include <atomic>
#include <chrono>
#include <cstdint>
#include <exception>
#include <fcntl.h>
#include <iostream>
#include <random>
#include <sstream>
#include <string>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <csignal>

namespace ipc = boost::interprocess;
using Clock = std::chrono::steady_clock;

struct Shared {
    ipc::interprocess_mutex mutex;
    std::atomic<std::uint32_t> halves[2];
};

// The words of the referee: how many are in the section, and how often somebody met another one there.
static std::atomic<std::uint32_t> *referee(const char *path) {
    int file = open(path, O_RDWR | O_CLOEXEC);
    void *words = file < 0 ? MAP_FAILED : mmap(nullptr, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
    if (words == MAP_FAILED) {
        throw std::runtime_error("cannot map the referee's memory");
    }
    return static_cast<std::atomic<std::uint32_t> *>(words);
}

static void store(Shared &shared, std::uint32_t value) {
    shared.halves[0].store(value, std::memory_order_relaxed);
    shared.halves[1].store(value, std::memory_order_relaxed);
}

static std::string work(Shared &shared, std::atomic<std::uint32_t> *referee, int milliseconds) {
    auto end = Clock::now() + std::chrono::milliseconds(milliseconds);
    std::uint64_t sections = 0, errors = 0;
    std::string last;
    while (Clock::now() < end) {
        try {
            shared.mutex.lock();
            if (referee[0].fetch_add(1) != 0) {
                referee[1].fetch_add(1);
            }
            for (volatile int spin = 0; spin < 200; spin = spin + 1) {
            }
            referee[0].fetch_sub(1);
            store(shared, static_cast<std::uint32_t>(sections));
            shared.mutex.unlock();
            sections += 1;
        } catch (const std::exception &error) {
            errors += 1;
            last = error.what();
        }
    }
    return "worked " + std::to_string(sections) + " " + std::to_string(errors) + " " + last;
}

static std::string scribble(ipc::managed_shared_memory &memory, int milliseconds, unsigned seed) {
    std::mt19937 random(seed);
    auto *words = static_cast<volatile std::uint32_t *>(memory.get_address());
    auto count = memory.get_size() / 4;
    auto end = Clock::now() + std::chrono::milliseconds(milliseconds);
    do {
        for (std::size_t word = 0; word < count; word += 1) {
            words[word] = random();
        }
    } while (Clock::now() < end);
    return "done";
}

int main(int, char **arguments) try {
    // A peer without its parent would wait for ever.
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    ipc::managed_shared_memory memory(ipc::open_or_create, arguments[1], 65536);
    Shared &shared = *memory.find_or_construct<Shared>("shared")();
    std::atomic<std::uint32_t> *words = referee(arguments[2]);
    std::cout << "ready Boost " << BOOST_VERSION / 100000 << "." << BOOST_VERSION / 100 % 1000 << std::endl;

    std::string line;
    while (std::getline(std::cin, line)) {
        std::istringstream in(line);
        std::string command, answer = "done";
        std::uint32_t first = 0, second = 0;
        in >> command >> first >> second;
        try {
            if (command == "hold") {
                std::cout << "waiting" << std::endl;
                shared.mutex.lock();
                answer = "held";
            } else if (command == "release") {
                shared.mutex.unlock();
            } else if (command == "store") {
                store(shared, first);
            } else if (command == "store_half") {
                shared.halves[0].store(first, std::memory_order_relaxed);
            } else if (command == "load") {
                answer = "loaded " + std::to_string(shared.halves[0]) + " " + std::to_string(shared.halves[1]);
            } else if (command == "scribble") {
                answer = scribble(memory, static_cast<int>(first), second);
            } else if (command == "work") {
                answer = work(shared, words, static_cast<int>(first));
            } else {
                answer = "failed unknown command";
            }
        } catch (const std::exception &error) {
            answer = std::string("failed ") + error.what();
        }
        std::cout << answer << std::endl;
    }
} catch (const std::exception &error) {
    std::cout << "failed " << error.what() << std::endl;
    return 1;
}
