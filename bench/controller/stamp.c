/* The command that is started: writes the monotonic clock at its start to the pipe "stamps" of its folder. */
#include <fcntl.h>
#include <time.h>
#include <unistd.h>

int main(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    long long stamp = now.tv_sec * 1000000000LL + now.tv_nsec;
    int pipe = open("stamps", O_WRONLY);
    return write(pipe, &stamp, sizeof stamp) == sizeof stamp ? 0 : 1;
}
