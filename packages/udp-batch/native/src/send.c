/*
 * Sends slots to the kernel. Neighbours of equal length to one address become one message with UDP_SEGMENT, and many messages one
 * call.
 */
#include "udp_batch.h"

#include <errno.h>
#include <linux/udp.h>
#include <string.h>

enum {
  MESSAGES = 32,
  PARTS = 512,
  /* Limits of one message: what every kernel with UDP_SEGMENT accepts, and what fits an IP packet. */
  MAX_SEGMENTS = 64,
  MAX_MESSAGE_BYTES = 65000,
};

typedef struct {
  struct mmsghdr headers[MESSAGES];
  struct iovec parts[PARTS];
  struct sockaddr_storage addresses[MESSAGES];
  union {
    struct cmsghdr header;
    char bytes[CMSG_SPACE(sizeof(uint16_t))];
  } control[MESSAGES];
  /* Records in each message. */
  int32_t counts[MESSAGES];
  int messages;
} batch_t;

typedef struct {
  udp_socket_t* socket;
  const int32_t* records;
  int32_t count;
  const uint8_t* addresses;
} job_t;

static void set_segment(struct msghdr* header, char* control, size_t control_length, size_t segment) {
  header->msg_control = control;
  header->msg_controllen = control_length;
  struct cmsghdr* part = CMSG_FIRSTHDR(header);
  const uint16_t value = (uint16_t)segment;
  part->cmsg_level = IPPROTO_UDP;
  part->cmsg_type = UDP_SEGMENT;
  part->cmsg_len = CMSG_LEN(sizeof value);
  memcpy(CMSG_DATA(part), &value, sizeof value);
}

/* How many records from `first` on are sent as one message. */
static int32_t run_length(const job_t* job, int32_t first, int32_t room) {
  const int32_t* record = job->records + (size_t)first * RECORD_WORDS;
  const int32_t segment = record[1];
  int32_t bytes = segment;
  int32_t run = 1;
  if (!job->socket->has_gso || segment == 0) return 1;
  while (run < room && run < MAX_SEGMENTS && first + run < job->count) {
    const int32_t* next = record + (size_t)run * RECORD_WORDS;
    if (next[2] != record[2] || next[1] > segment || next[1] == 0 || bytes + next[1] > MAX_MESSAGE_BYTES) break;
    bytes += next[1];
    run++;
    if (next[1] < segment) break; /* only the last may be shorter */
  }
  return run;
}

/* Fills a batch from record `first` on. Records to an address of another family are skipped: they count as sent and lost. */
static int32_t fill(const job_t* job, int32_t first, batch_t* batch) {
  int32_t at = first;
  int part = 0;
  batch->messages = 0;
  while (at < job->count && batch->messages < MESSAGES && part < PARTS) {
    const int32_t* record = job->records + (size_t)at * RECORD_WORDS;
    const int m = batch->messages;
    socklen_t length = 0;
    if (!read_address(job->addresses + (size_t)record[2] * ADDRESS_BYTES, job->socket->family, &batch->addresses[m], &length)) {
      if (m > 0) break; /* what is before it must be sent first: order and counts stay simple */
      first = ++at;
      continue;
    }
    const int32_t run = run_length(job, at, PARTS - part);
    batch->headers[m] = (struct mmsghdr){
        .msg_hdr = {.msg_name = &batch->addresses[m], .msg_namelen = length, .msg_iov = &batch->parts[part], .msg_iovlen = (size_t)run}};
    for (int32_t i = 0; i < run; i++, record += RECORD_WORDS)
      batch->parts[part++] = (struct iovec){.iov_base = job->socket->memory + record[0], .iov_len = (size_t)record[1]};
    if (run > 1)
      set_segment(&batch->headers[m].msg_hdr, batch->control[m].bytes, sizeof batch->control[m].bytes, batch->parts[part - run].iov_len);
    batch->counts[m] = run;
    batch->messages++;
    at += run;
  }
  return first;
}

static bool is_full(int error) { return error == EAGAIN || error == EWOULDBLOCK || error == ENOBUFS; }

/* Sends a message that the kernel did not accept as one, datagram by datagram. Returns how many are done. */
static int32_t send_singly(udp_socket_t* socket, struct msghdr* whole, int32_t count) {
  struct msghdr header = *whole;
  header.msg_control = NULL;
  header.msg_controllen = 0;
  header.msg_iovlen = 1;
  for (int32_t i = 0; i < count; i++, header.msg_iov++) {
    ssize_t sent;
    do {
      sent = sendmsg(socket->fd, &header, 0);
    } while (sent < 0 && errno == EINTR);
    if (sent < 0 && is_full(errno)) return i;
  }
  return count;
}

/* Returns how many records of the batch are done; fewer than all when the kernel's buffer is full. */
static int32_t send_batch(udp_socket_t* socket, batch_t* batch) {
  int32_t done = 0;
  for (int at = 0; at < batch->messages;) {
    int sent;
    do {
      sent = sendmmsg(socket->fd, batch->headers + at, (unsigned)(batch->messages - at), 0);
    } while (sent < 0 && errno == EINTR);
    for (int i = 0; i < sent; i++) done += batch->counts[at++];
    if (sent > 0) continue;
    if (is_full(errno)) return done;
    if (batch->counts[at] > 1) {
      /*
       * This device cannot segment datagrams, or the path carries only smaller ones: sends fall back to one datagram at
       * a time.
       */
      if (errno == EIO || errno == EOPNOTSUPP || errno == ENOPROTOOPT) socket->has_gso = false;
      const int32_t single = send_singly(socket, &batch->headers[at].msg_hdr, batch->counts[at]);
      done += single;
      if (single < batch->counts[at]) return done;
    } else {
      done++; /* refused: a loss, as anywhere on the way */
    }
    at++;
  }
  return done;
}

napi_value socket_send(napi_env env, napi_callback_info info) {
  napi_value values[4];
  job_t job = {0};
  int32_t* records = NULL;
  uint8_t* addresses = NULL;
  size_t record_words = 0;
  size_t address_bytes = 0;
  if (!read_arguments(env, info, 4, values) || !read_socket(env, values[0], false, &job.socket) ||
      !read_int32_array(env, values[1], "records", &records, &record_words) || !read_int32(env, values[2], "count", &job.count) ||
      !read_uint8_array(env, values[3], "addresses", &addresses, &address_bytes))
    return NULL;
  if (job.count < 0 || job.count > MAX_RECORDS || (size_t)job.count * RECORD_WORDS > record_words)
    return throw_range(env, "not that many records"), NULL;
  for (int32_t i = 0; i < job.count; i++) {
    const int32_t* record = records + (size_t)i * RECORD_WORDS;
    if (record[0] < 0 || record[1] < 0 || record[1] > 65535 || (size_t)record[0] + (size_t)record[1] > job.socket->memory_length)
      return throw_range(env, "a record is outside the memory"), NULL;
    if (record[2] < 0 || ((size_t)record[2] + 1) * ADDRESS_BYTES > address_bytes)
      return throw_range(env, "a record has no address"), NULL;
  }
  job.records = records;
  job.addresses = addresses;
  static _Thread_local batch_t batch;
  int32_t at = 0;
  while (at < job.count) {
    at = fill(&job, at, &batch);
    int32_t wanted = 0;
    for (int i = 0; i < batch.messages; i++) wanted += batch.counts[i];
    const int32_t done = send_batch(job.socket, &batch);
    at += done;
    if (done < wanted) break;
  }
  return number_value(env, at);
}

/*
 * IP_PMTUDISC_PROBE forbids fragments, here and on the way, and ignores any remembered path MTU, so the datagram itself
 * measures it. More than the device carries is refused with EMSGSIZE. The socket's earlier setting is restored afterwards.
 */
static bool send_whole(const udp_socket_t* socket, const struct msghdr* header) {
  const bool v4 = socket->family == AF_INET;
  const int level = v4 ? IPPROTO_IP : IPPROTO_IPV6;
  const int option = v4 ? IP_MTU_DISCOVER : IPV6_MTU_DISCOVER;
  const int probe = v4 ? IP_PMTUDISC_PROBE : IPV6_PMTUDISC_PROBE;
  int usual = 0;
  socklen_t length = sizeof usual;
  if (getsockopt(socket->fd, level, option, &usual, &length) != 0) return false;
  if (setsockopt(socket->fd, level, option, &probe, sizeof probe) != 0) return false;
  const bool sent = sendmsg(socket->fd, header, 0) >= 0;
  setsockopt(socket->fd, level, option, &usual, sizeof usual);
  return sent;
}

napi_value socket_send_one(napi_env env, napi_callback_info info) {
  napi_value values[5];
  udp_socket_t* socket = NULL;
  uint8_t* bytes = NULL;
  uint8_t* entry = NULL;
  size_t length = 0;
  size_t entry_length = 0;
  int32_t hop_limit = 0;
  int32_t whole = 0;
  struct sockaddr_storage address;
  socklen_t address_length = 0;
  if (!read_arguments(env, info, 5, values) || !read_socket(env, values[0], false, &socket) ||
      !read_uint8_array(env, values[1], "datagram", &bytes, &length) || !read_uint8_array(env, values[2], "address", &entry, &entry_length) ||
      !read_int32(env, values[3], "hopLimit", &hop_limit) || !read_int32(env, values[4], "whole", &whole))
    return NULL;
  if (entry_length < ADDRESS_BYTES || hop_limit < 0 || hop_limit > 255) return throw_range(env, "no such address or hop limit"), NULL;
  bool sent = false;
  if (read_address(entry, socket->family, &address, &address_length)) {
    union {
      struct cmsghdr header;
      char bytes[CMSG_SPACE(sizeof(int))];
    } control;
    struct iovec part = {.iov_base = bytes, .iov_len = length};
    struct msghdr header = {.msg_name = &address, .msg_namelen = address_length, .msg_iov = &part, .msg_iovlen = 1};
    if (hop_limit > 0) {
      memset(&control, 0, sizeof control);
      header.msg_control = control.bytes;
      header.msg_controllen = sizeof control.bytes;
      struct cmsghdr* option = CMSG_FIRSTHDR(&header);
      option->cmsg_level = socket->family == AF_INET ? IPPROTO_IP : IPPROTO_IPV6;
      option->cmsg_type = socket->family == AF_INET ? IP_TTL : IPV6_HOPLIMIT;
      option->cmsg_len = CMSG_LEN(sizeof hop_limit);
      memcpy(CMSG_DATA(option), &hop_limit, sizeof hop_limit);
    }
    sent = whole != 0 ? send_whole(socket, &header) : sendmsg(socket->fd, &header, 0) >= 0;
  }
  napi_value out = NULL;
  return check_status(env, napi_get_boolean(env, sent, &out)) ? out : NULL;
}
