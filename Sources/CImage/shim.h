#include <stdio.h>
#include <spng.h>
#include <turbojpeg.h>
