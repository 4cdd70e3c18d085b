/*
 * Receives from the kernel into slots. The kernel coalesces datagrams of one flow (UDP_GRO); a slot must hold one
 * datagram, so each is copied once. Datagrams too large for that are received where they belong.
 */
#include "udp_batch.h"

#include <errno.h>
#include <linux/udp.h>
#include <stdlib.h>
#include <string.h>

static size_t segment_of(struct msghdr* header, size_t length) {
  for (struct cmsghdr* part = CMSG_FIRSTHDR(header); part != NULL; part = CMSG_NXTHDR(header, part)) {
    if (part->cmsg_level != IPPROTO_UDP || part->cmsg_type != UDP_GRO) continue;
    int segment = 0;
    memcpy(&segment, CMSG_DATA(part), sizeof segment);
    if (segment > 0) return (size_t)segment;
  }
  return length;
}

/* Where each message of a call is received. */
typedef struct {
  uint8_t* bytes[RECEIVE_MESSAGES];
  int count;
} places_t;

/* Fills socket->received with what the kernel has. False if it has nothing. */
static bool take(udp_socket_t* socket, const places_t* places) {
  struct mmsghdr messages[RECEIVE_MESSAGES];
  struct iovec parts[RECEIVE_MESSAGES];
  union {
    struct cmsghdr header;
    char bytes[CMSG_SPACE(sizeof(int))];
  } control[RECEIVE_MESSAGES];
  memset(messages, 0, sizeof messages);
  for (int i = 0; i < places->count; i++) {
    parts[i] = (struct iovec){.iov_base = places->bytes[i], .iov_len = RECEIVE_BYTES};
    messages[i].msg_hdr = (struct msghdr){
        .msg_name = &socket->received[i].from,
        .msg_namelen = sizeof socket->received[i].from,
        .msg_iov = &parts[i],
        .msg_iovlen = 1,
        .msg_control = control[i].bytes,
        .msg_controllen = sizeof control[i].bytes,
    };
  }
  int count;
  do {
    count = recvmmsg(socket->fd, messages, (unsigned)places->count, MSG_DONTWAIT, NULL);
  } while (count < 0 && errno == EINTR);
  /* Any error but EAGAIN concerns an earlier datagram and was cleared by this call: the next wake-up reads on. */
  if (count <= 0) return false;
  for (int i = 0; i < count; i++) {
    received_t* received = &socket->received[i];
    received->length = messages[i].msg_len;
    received->segment = segment_of(&messages[i].msg_hdr, messages[i].msg_len);
    received->next = 0;
    received->truncated = (messages[i].msg_hdr.msg_flags & MSG_TRUNC) != 0;
  }
  socket->received_count = count;
  socket->received_at = 0;
  return true;
}

/* Into the socket's own buffers. False if the kernel has no more datagrams. */
static bool refill(udp_socket_t* socket) {
  places_t places = {.count = RECEIVE_MESSAGES};
  if (socket->buffers == NULL) {
    socket->buffers = malloc((size_t)RECEIVE_MESSAGES * RECEIVE_BYTES);
    if (socket->buffers == NULL) return false;
  }
  for (int i = 0; i < RECEIVE_MESSAGES; i++) places.bytes[i] = socket->buffers + (size_t)i * RECEIVE_BYTES;
  return take(socket, &places);
}

/* Whether every message is one datagram. */
static bool all_single(const udp_socket_t* socket) {
  for (int i = 0; i < socket->received_count; i++)
    if (socket->received[i].segment != socket->received[i].length || socket->received[i].truncated) return false;
  return true;
}

/*
 * Into the first of `slots` themselves, which must be as long as a message. If one of them turns out to be several datagrams, all
 * are moved to the socket's buffers, from where they are copied to their slots. False if the kernel has no more datagrams;
 * `*placed` tells whether they are in their slots.
 */
static bool refill_slots(udp_socket_t* socket, const int32_t* slots, size_t count, bool* placed) {
  places_t places = {.count = count < RECEIVE_MESSAGES ? (int)count : RECEIVE_MESSAGES};
  for (int i = 0; i < places.count; i++) places.bytes[i] = socket->memory + slots[i];
  *placed = false;
  if (!take(socket, &places)) return false;
  *placed = all_single(socket);
  if (*placed) return true;
  socket->large = false;
  for (int i = 0; i < socket->received_count; i++)
    memcpy(socket->buffers + (size_t)i * RECEIVE_BYTES, places.bytes[i], socket->received[i].length);
  return true;
}

static bool same_source(const uint8_t* a, const uint8_t* b) { return memcmp(a, b, ADDRESS_BYTES) == 0; }

napi_value socket_receive(napi_env env, napi_callback_info info) {
  napi_value values[5];
  udp_socket_t* socket = NULL;
  int32_t* slots = NULL;
  int32_t* records = NULL;
  uint8_t* addresses = NULL;
  size_t slot_count = 0;
  size_t record_words = 0;
  size_t address_bytes = 0;
  int32_t stride = 0;
  if (!read_arguments(env, info, 5, values) || !read_socket(env, values[0], false, &socket) ||
      !read_int32_array(env, values[1], "slots", &slots, &slot_count) || !read_int32(env, values[2], "stride", &stride) ||
      !read_int32_array(env, values[3], "records", &records, &record_words) ||
      !read_uint8_array(env, values[4], "addresses", &addresses, &address_bytes))
    return NULL;
  if (slot_count > MAX_RECORDS || record_words < slot_count * RECORD_WORDS || address_bytes < slot_count * ADDRESS_BYTES)
    return throw_range(env, "records and addresses do not have room for every slot"), NULL;
  if (stride < 0 || (size_t)stride > socket->memory_length) return throw_range(env, "stride is outside the memory"), NULL;
  for (size_t i = 0; i < slot_count; i++)
    if (slots[i] < 0 || (size_t)slots[i] + (size_t)stride > socket->memory_length)
      return throw_range(env, "a slot is outside the memory"), NULL;

  size_t used = 0;
  size_t count = 0;
  size_t taken = 0;
  int32_t address_index = -1;
  uint8_t source[ADDRESS_BYTES];
  bool placed = false;
  bool more = false;
  for (;;) {
    if (socket->received_at == socket->received_count) {
      more = taken >= RECEIVE_ENOUGH_BYTES;
      if (count == slot_count || more) break;
      placed = false;
      if (socket->large && stride >= RECEIVE_BYTES) {
        if (!refill_slots(socket, slots + used, slot_count - count, &placed)) break;
      } else {
        if (!refill(socket)) break;
        socket->large = all_single(socket) && socket->received[0].length > RECEIVE_BYTES / 2;
      }
    }
    received_t* received = &socket->received[socket->received_at];
    const uint8_t* bytes = socket->buffers + (size_t)socket->received_at * RECEIVE_BYTES;
    write_address(&received->from, source);
    do {
      if (count == slot_count) {
        more = true;
        goto done;
      }
      const size_t left = received->length - received->next;
      const size_t length = left < received->segment ? left : received->segment;
      const bool fits = length <= (size_t)stride && !received->truncated;
      if (address_index < 0 || !same_source(addresses + (size_t)address_index * ADDRESS_BYTES, source))
        memcpy(addresses + (size_t)++address_index * ADDRESS_BYTES, source, ADDRESS_BYTES);
      int32_t* record = records + count * RECORD_WORDS;
      record[0] = fits ? slots[used] : -1;
      record[1] = (int32_t)length;
      record[2] = address_index;
      if (fits && !placed) memcpy(socket->memory + slots[used], bytes + received->next, length);
      if (fits) used++;
      received->next += length;
      taken += length;
      count++;
    } while (received->next < received->length);
    socket->received_at++;
  }
done:
  return number_value(env, (int32_t)count | (more || count == slot_count ? MORE : 0));
}
