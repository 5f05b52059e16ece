# nginx with the RTMP module; roles/built_package/files/recipe/build-package sources this and says what it has to define.
# shellcheck shell=bash disable=SC2034,SC2154
source_package=nginx
programs=(usr/sbin/nginx)
depends=(openssl)

# The module's upstream tarball as Debian keeps it. Its packaging is not needed here and is what mirrors most often
# lack.
more_sources() {
    local each
    while read -r each; do
        if fetch "$work/rtmp-source" --tar-only "libnginx-mod-rtmp=$each"; then
            record "$work"/rtmp-source/*.orig.tar.*
            unpack_tarball "$work"/rtmp-source/*.orig.tar.*z "$work/rtmp"
            rtmp_version=${each#*:}
            rtmp_version=${rtmp_version%-*}
            rtmp_version=${rtmp_version%+*}
            version_suffix=+rtmp$rtmp_version-1
            return
        fi
    done < <(source_versions libnginx-mod-rtmp)
    fail 3 "the mirror serves no source of libnginx-mod-rtmp"
}

upstream_version() { sed -n 's/^#define NGINX_VERSION *"\(.*\)"/\1/p' src/core/nginx.h; }

# The RTMP module prints __DATE__; gcc takes it from SOURCE_DATE_EPOCH, so the build stays reproducible.
compile() {
    export DEB_CFLAGS_MAINT_APPEND=-fPIC DEB_LDFLAGS_MAINT_APPEND=-fPIC
    ./configure "${arguments[@]}" --add-module=../rtmp --build=appliance \
        --with-cc-opt="$(dpkg-buildflags --get CFLAGS) $(dpkg-buildflags --get CPPFLAGS) -Wno-error=date-time" \
        --with-ld-opt="$(dpkg-buildflags --get LDFLAGS)" > "$work/configure.log"
    make --jobs="$(nproc)" > "$work/make.log"
}

lay_out() {
    install -D -m 0755 objs/nginx "$1/usr/sbin/nginx"
    install -D -m 0644 conf/mime.types "$1/etc/nginx/mime.types"
    # The prefix in which `nginx -t` checks a configuration: it makes its temporary folders there.
    install -d -m 0700 "$1/var/lib/appliance-nginx/check"
    install -m 0644 LICENSE "$2/copyright"
    { printf '\nnginx-rtmp-module %s\n\n' "$rtmp_version"; cat ../rtmp/LICENSE; } >> "$2/copyright"
}

control_fields() {
    cat <<FIELDS
Provides: nginx (= $version)
Conflicts: nginx, nginx-common, nginx-core, nginx-light, nginx-full, nginx-extras
Replaces: nginx, nginx-common, nginx-core, nginx-light, nginx-full, nginx-extras
Section: httpd
Priority: optional
Description: nginx with the RTMP module, compiled for the streaming appliance
 The binary and its MIME types, without units and without a default site.
 What it was built from stands in /usr/share/doc/appliance-nginx/build-info.
FIELDS
}
