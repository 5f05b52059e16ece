# FFmpeg with what the streams use and nothing else. roles/built_package/files/recipe/build-package sources this and
# says what it has to define. Setting: CAPABILITIES, what it must be able to do, as `trial` takes it.
# shellcheck shell=bash disable=SC2034,SC2154
source_package=ffmpeg
# Not in a folder that is searched: the role puts it to use when it has proved itself on the host.
programs=(usr/libexec/appliance-ffmpeg/ffmpeg)

upstream_version() { cat RELEASE; }

compile() {
    # Behind upstream's version: Debian's revision, and `appliance`, which tells this build from the distribution's.
    local revision=${version#"$(cat RELEASE)"}
    revision=${revision#-}
    # No debug information is kept, so none is made.
    export DEB_CFLAGS_MAINT_STRIP=-g
    ./configure "${arguments[@]}" --extra-version="${revision:+$revision-}appliance" \
        --extra-cflags="$(dpkg-buildflags --get CFLAGS) $(dpkg-buildflags --get CPPFLAGS)" \
        --extra-ldflags="$(dpkg-buildflags --get LDFLAGS)" > "$work/configure.log" \
        || { tail -n 20 ffbuild/config.log >&2; return 1; }
    make --jobs="$(nproc)" ffmpeg > "$work/make.log"
}

lay_out() {
    install -D -m 0755 ffmpeg "$1/${programs[0]}"
    install -m 0644 LICENSE.md "$2/copyright"
    printf '\n' >> "$2/copyright"
    cat COPYING.GPLv3 >> "$2/copyright"
}

prove() {
    local answer
    # shellcheck disable=SC2086  # a word for each
    answer=$(sh "$recipe/trial" works "$1/${programs[0]}" $CAPABILITIES) || fail 6 "${answer//$'\n'/ }"
}

control_fields() {
    cat <<FIELDS
Section: video
Priority: optional
Description: FFmpeg with what the streaming appliance uses, and nothing else
 One program, in no folder that is searched: the role ffmpeg puts it to use.
 What it was built from stands in /usr/share/doc/appliance-ffmpeg/build-info.
FIELDS
}
