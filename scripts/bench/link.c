// A link between two network namespaces, for kernels without netem: a TUN device in each, and between them a bottleneck with a
// drop-tail queue, a delay, and random loss. All of it applies to each direction separately.
//
// A packet is first lost at random (so it takes no capacity), then dropped if the queue is full, then waits for its turn at the
// bottleneck, then travels for the delay. Each JSON line on standard input is a request, which one on standard output answers; it
// ends when its input does.
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/if_tun.h>
#include <net/if.h>
#include <sched.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

enum { PACKET_BYTES = 1600, RING = 1 << 15, READ_AT_ONCE = 64, LINE_BYTES = 512 };
// Packets are delivered once per tick, as an interface would coalesce them. A wake-up for each costs a core.
enum { TICK_NS = 200000 };
static const char device_name[] = "link0";

struct packet {
  uint64_t leaves;  // the bottleneck, ns
  uint64_t arrives; // at the other side, ns
  uint32_t length;
  unsigned char bytes[PACKET_BYTES];
};

struct direction {
  int from, to;
  struct packet *ring;
  // Not yet delivered: [head, tail). Not yet through the bottleneck: [waiting, tail).
  uint32_t head, waiting, tail;
  uint64_t queued_bytes;
  uint64_t busy_until;
  uint64_t random;
  uint64_t delivered, overflowed, lost, failed;
};

static struct direction directions[2];
static uint64_t delay_ns, queue_bytes, bits_per_second, loss_per_million;

static void die(const char *what) {
  perror(what);
  exit(1);
}

static uint64_t now_ns(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

// splitmix64: good enough, and every seed is a good one.
static uint64_t draw(uint64_t *state) {
  uint64_t z = (*state += 0x9e3779b97f4a7c15u);
  z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
  z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
  return z ^ (z >> 31);
}

static int open_tun(const char *namespace) {
  char path[256];
  snprintf(path, sizeof path, "/var/run/netns/%s", namespace);
  int space = open(path, O_RDONLY | O_CLOEXEC);
  if (space < 0 || setns(space, CLONE_NEWNET) < 0) die(path);
  close(space);
  int tun = open("/dev/net/tun", O_RDWR | O_NONBLOCK | O_CLOEXEC);
  if (tun < 0) die("/dev/net/tun");
  struct ifreq request = {.ifr_flags = IFF_TUN | IFF_NO_PI};
  strcpy(request.ifr_name, device_name);
  if (ioctl(tun, TUNSETIFF, &request) < 0) die("TUNSETIFF");
  return tun;
}

static void leave_bottleneck(struct direction *d, uint64_t now) {
  while (d->waiting != d->tail && d->ring[d->waiting % RING].leaves <= now) {
    d->queued_bytes -= d->ring[d->waiting % RING].length;
    d->waiting++;
  }
}

static void take_in(struct direction *d) {
  for (int i = 0; i < READ_AT_ONCE; i++) {
    struct packet *p = &d->ring[d->tail % RING];
    if (d->tail - d->head == RING) return; // packets left waiting stay in the device
    ssize_t length = read(d->from, p->bytes, sizeof p->bytes);
    if (length < 0 && (errno == EAGAIN || errno == EINTR)) return;
    if (length <= 0) die("read of a TUN device");
    uint64_t now = now_ns();
    leave_bottleneck(d, now);
    if (draw(&d->random) % 1000000 < loss_per_million) {
      d->lost++;
      continue;
    }
    if (d->queued_bytes + (uint64_t)length > queue_bytes) {
      d->overflowed++;
      continue;
    }
    uint64_t starts = d->busy_until > now ? d->busy_until : now;
    p->length = (uint32_t)length;
    p->leaves = d->busy_until = starts + (uint64_t)length * 8 * 1000000000u / bits_per_second;
    p->arrives = p->leaves + delay_ns;
    d->queued_bytes += (uint64_t)length;
    d->tail++;
  }
}

static void deliver(struct direction *d) {
  uint64_t now = now_ns();
  for (; d->head != d->tail && d->ring[d->head % RING].arrives <= now; d->head++) {
    struct packet *p = &d->ring[d->head % RING];
    if (write(d->to, p->bytes, p->length) == (ssize_t)p->length) d->delivered++;
    else d->failed++;
  }
  leave_bottleneck(d, now);
}

static void arm(int timer) {
  static uint64_t armed = UINT64_MAX;
  uint64_t first = UINT64_MAX;
  for (int i = 0; i < 2; i++) {
    struct direction *d = &directions[i];
    if (d->head != d->tail && d->ring[d->head % RING].arrives < first) first = d->ring[d->head % RING].arrives;
  }
  if (first != UINT64_MAX) first += TICK_NS - first % TICK_NS;
  if (first == armed) return;
  armed = first;
  struct itimerspec at = {0};
  if (first != UINT64_MAX) {
    at.it_value.tv_sec = (time_t)(first / 1000000000u);
    at.it_value.tv_nsec = (long)(first % 1000000000u);
  }
  if (timerfd_settime(timer, TFD_TIMER_ABSTIME, &at, NULL) < 0) die("timerfd_settime");
}

// Packets in flight belong to the previous link and are discarded with it.
static void reset(uint64_t seed) {
  for (int i = 0; i < 2; i++) {
    struct direction *d = &directions[i];
    d->head = d->waiting = d->tail = 0;
    d->queued_bytes = d->busy_until = 0;
    d->delivered = d->overflowed = d->lost = d->failed = 0;
    d->random = seed * 2 + (uint64_t)i;
  }
}

static void open_link(int poll, const char *left, const char *right) {
  int tuns[2] = {open_tun(left), open_tun(right)};
  for (uint32_t i = 0; i < 2; i++) {
    directions[i].from = tuns[i];
    directions[i].to = tuns[1 - i];
    directions[i].ring = calloc(RING, sizeof(struct packet));
    if (directions[i].ring == NULL) die("calloc");
    struct epoll_event readable = {.events = EPOLLIN, .data.u32 = i};
    if (epoll_ctl(poll, EPOLL_CTL_ADD, tuns[i], &readable) < 0) die("epoll_ctl");
  }
}

static void answer(const char *format, ...) {
  va_list args;
  va_start(args, format);
  vprintf(format, args);
  va_end(args);
  putchar('\n');
  fflush(stdout);
}

// The fields arrive in the order in which links.ts writes them.
static void handle(int poll, const char *line) {
  static char left[64], right[64];
  unsigned long long delay_us, kbit, queue, loss, seed;
  if (sscanf(line, "{\"do\":\"open\",\"left\":\"%63[^\"]\",\"right\":\"%63[^\"]\"}", left, right) == 2) {
    open_link(poll, left, right);
    answer("{\"device\":\"%s\"}", device_name);
  } else if (sscanf(line,
                    "{\"do\":\"set\",\"delayUs\":%llu,\"kbitPerSecond\":%llu,\"queueBytes\":%llu,"
                    "\"lossPerMillion\":%llu,\"seed\":%llu}",
                    &delay_us, &kbit, &queue, &loss, &seed) == 5 &&
             kbit > 0) {
    delay_ns = delay_us * 1000;
    bits_per_second = kbit * 1000;
    queue_bytes = queue;
    loss_per_million = loss;
    reset(seed);
    answer("{}");
  } else if (strstr(line, "\"do\":\"counts\"") != NULL) {
    const struct direction *up = &directions[0], *down = &directions[1];
    answer("{\"delivered\":%llu,\"overflowed\":%llu,\"lost\":%llu,\"failed\":%llu}",
           (unsigned long long)(up->delivered + down->delivered),
           (unsigned long long)(up->overflowed + down->overflowed), (unsigned long long)(up->lost + down->lost),
           (unsigned long long)(up->failed + down->failed));
  } else {
    answer("{\"error\":\"not understood\"}");
  }
}

// Requests are sent one at a time: no part of the next one follows a line.
static void read_request(int poll) {
  static char line[LINE_BYTES];
  static size_t have;
  ssize_t count = read(STDIN_FILENO, line + have, sizeof line - 1 - have);
  if (count <= 0) exit(0);
  have += (size_t)count;
  line[have] = 0;
  if (line[have - 1] != '\n') {
    if (have == sizeof line - 1) exit(1);
    return;
  }
  have = 0;
  handle(poll, line);
}

int main(void) {
  enum { TIMER = 2, REQUEST = 3 };
  bits_per_second = 1000000000;
  int poll = epoll_create1(EPOLL_CLOEXEC);
  int timer = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC);
  struct epoll_event due = {.events = EPOLLIN, .data.u32 = TIMER};
  struct epoll_event asked = {.events = EPOLLIN, .data.u32 = REQUEST};
  if (poll < 0 || timer < 0 || epoll_ctl(poll, EPOLL_CTL_ADD, timer, &due) < 0) die("epoll_ctl");
  if (epoll_ctl(poll, EPOLL_CTL_ADD, STDIN_FILENO, &asked) < 0) die("epoll_ctl");
  for (;;) {
    struct epoll_event events[4];
    int count = epoll_wait(poll, events, 4, -1);
    if (count < 0 && errno != EINTR) die("epoll_wait");
    for (int i = 0; i < count; i++) {
      uint64_t ticks;
      uint32_t what = events[i].data.u32;
      if (what == REQUEST) read_request(poll);
      else if (what < TIMER) take_in(&directions[what]);
      else if (read(timer, &ticks, sizeof ticks) < 0) {
        if (errno != EAGAIN) die("read of the timer");
      } else {
        for (int j = 0; j < 2; j++) deliver(&directions[j]);
      }
    }
    arm(timer);
  }
}
