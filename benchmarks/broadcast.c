/* The yardstick for a push: who writes one byte to the first connection lets it write one frame to
 * each of the others, one after the other. Prints its port; ends with its first connection. */
#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

enum { MOST = 4096, FRAME = 64 };

static void need(int fine, const char *what) {
  if (!fine) {
    perror(what);
    exit(1);
  }
}

int main(void) {
  int others[MOST], number = 0, first = -1;
  char frame[FRAME], byte;
  memset(frame, 'x', sizeof frame);
  struct sockaddr_in place = {.sin_family = AF_INET};
  place.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t size = sizeof place;
  int door = socket(AF_INET, SOCK_STREAM, 0);
  need(bind(door, (struct sockaddr *)&place, sizeof place) == 0, "bind");
  need(listen(door, MOST) == 0, "listen");
  need(getsockname(door, (struct sockaddr *)&place, &size) == 0, "getsockname");
  printf("%d\n", ntohs(place.sin_port));
  fflush(stdout);
  int poll = epoll_create1(0);
  struct epoll_event event = {.events = EPOLLIN, .data.fd = door};
  need(epoll_ctl(poll, EPOLL_CTL_ADD, door, &event) == 0, "epoll_ctl");
  for (;;) {
    need(epoll_wait(poll, &event, 1, -1) == 1, "epoll_wait");
    if (event.data.fd == door) {
      int taken = accept(door, NULL, NULL);
      need(taken >= 0 && number < MOST, "accept");
      if (first >= 0) {
        others[number++] = taken;
        continue;
      }
      first = taken;
      struct epoll_event watched = {.events = EPOLLIN, .data.fd = first};
      need(epoll_ctl(poll, EPOLL_CTL_ADD, first, &watched) == 0, "epoll_ctl");
      continue;
    }
    if (read(first, &byte, 1) != 1) return 0;
    for (int i = 0; i < number; i++) need(write(others[i], frame, FRAME) == FRAME, "write");
  }
}
